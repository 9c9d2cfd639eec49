// Follow the closings of all tills: each once, its hash recomputed, its chain without a gap.
//
//     java -cp 'libs/*' ReadClosings.java localhost:9092 till.closings.v1 closings.seen
//
// In libs: kafka-clients and jackson-databind with what they need, as in Kafka's own libs. What was taken is a line of
// the file: ce_id, till, the till's last hash, kind. Kafka is told afterwards: what a crash brings again is known by its
// ce_id. It ends at a closing that was changed or does not follow the one before it, and at a record that it can't read.

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.nio.file.*;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

class ReadClosings {
    // Names in the order of UTF-16, hexadecimal digits in lower case, as RFC 8785 has them.
    static final JsonMapper JSON = JsonMapper.builder()
        .enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS)
        .disable(JsonWriteFeature.WRITE_HEX_UPPER_CASE)
        .build();
    static final Set<String> seen = new HashSet<>();
    static final Map<String, String> last = new HashMap<>();

    public static void main(String[] args) throws Exception {
        var file = Path.of(args[2]);
        Files.writeString(file, "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        for (var line : Files.readAllLines(file)) {
            var parts = line.split(" ");
            if (parts.length < 4) continue; // What a crash left of a line.
            seen.add(parts[0]);
            last.put(parts[1], parts[2]);
        }
        var bytes = new ByteArrayDeserializer();
        var consumer = new KafkaConsumer<>(Map.<String, Object>of("bootstrap.servers", args[0], "group.id", args[1] + ".reader",
            "session.timeout.ms", 10_000, // So long does the next one wait after a crash.
            "auto.offset.reset", "earliest", "enable.auto.commit", false), bytes, bytes);
        consumer.subscribe(List.of(args[1]));
        for (;; consumer.commitSync())
            for (var record : consumer.poll(Duration.ofMillis(500))) take(record, file);
    }

    static void take(ConsumerRecord<byte[], byte[]> record, Path file) {
        try {
            var id = new String(record.headers().lastHeader("ce_id").value());
            var message = (Map<?, ?>) JSON.readValue(record.value(), TreeMap.class);
            var till = message.get("store_id") + "/" + message.get("profile_id");
            if (!seen.add(id)) return;
            var before = last.getOrDefault(till, "0".repeat(64));
            if (message.get("kind").equals("closing")) {
                var name = till + " closing " + message.get("z_number");
                var hash = (String) message.remove("hash");
                var digest = MessageDigest.getInstance("SHA-256").digest(JSON.writeValueAsString(message).getBytes(UTF_8));
                if (!HexFormat.of().formatHex(digest).equals(hash)) end(name + " was changed");
                if (!before.equals(message.get("prev_hash")))
                    end(name + " does not follow: its prev_hash is " + message.get("prev_hash") + ", the last one taken has " + before);
                last.put(till, before = hash);
            }
            Files.writeString(file, id + " " + till + " " + before + " " + message.get("kind") + "\n", StandardOpenOption.APPEND);
        } catch (Exception fault) {
            end("partition " + record.partition() + " offset " + record.offset() + " could not be taken: " + fault);
        }
    }

    static void end(String fault) {
        System.err.println(fault);
        System.exit(1);
    }
}
