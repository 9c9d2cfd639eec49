// Send a till's commands on Kafka in their order, each once the one before it is answered; the gateway has the answers.
//
//     SENDS=… ASKS=… java -cp 'libs/*' SendCommands.java localhost:9092 till.commands.v1 http://127.0.0.1:8080 day.jsonl
//
// In libs: kafka-clients and jackson-databind with what they need, as in Kafka's own libs. SENDS is the token that goes
// with each record (audience `commands`), ASKS the one that opens the gateway (`api`). A line of the file is a command
// with its id: however often this is run, it counts once. It ends at the first refusal.

import static java.nio.charset.StandardCharsets.UTF_8;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.serialization.ByteArraySerializer;

class SendCommands {
    static final Duration ANSWER_WAIT = Duration.ofSeconds(60);
    // These claim nothing: what is missing may come, and the same command sent again is decided afresh.
    static final Set<String> CLAIMLESS = Set.of("unauthenticated", "forbidden", "profile_unknown", "session_unknown",
        "tender_unknown", "movement_unknown");
    static final ObjectMapper JSON = new ObjectMapper();
    static final HttpClient HTTP = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();

    public static void main(String[] args) throws Exception {
        var bytes = new ByteArraySerializer();
        // Its own partitioner is murmur2, as the wire asks.
        try (var producer = new KafkaProducer<>(Map.<String, Object>of("bootstrap.servers", args[0], "acks", "all",
                "enable.idempotence", true), bytes, bytes)) {
            for (var line : Files.readAllLines(Path.of(args[3]))) {
                var answer = answerTo(line, producer, args[1], args[2]);
                var id = answer.path("command_id").asText();
                System.out.println(id + " " + answer.path("command_kind").asText() + " " + answer.path("kind").asText());
                if (List.of("command_rejected", "command_parked").contains(answer.path("kind").asText()))
                    end(id + " was refused (" + answer.path("reason").asText("parked") + "): " + answer.path("message").asText());
            }
        }
    }

    /** Send one command and wait for its answer, unless an earlier run has one that stays. */
    static JsonNode answerTo(String line, Producer<byte[], byte[]> producer, String topic, String gateway) throws Exception {
        var command = JSON.readTree(line);
        var asked = HttpRequest.newBuilder(URI.create(gateway + "/api/commands/" + command.path("command_id").asText()))
            .header("authorization", "Bearer " + System.getenv("ASKS")).timeout(Duration.ofSeconds(10)).build();
        var earlier = ask(asked);
        var isClaimless = CLAIMLESS.contains(earlier.path("reason").asText()) || earlier.path("kind").asText().equals("command_parked");
        if (!earlier.isMissingNode() && !isClaimless) return earlier;
        var key = command.path("store_id").asText() + "/" + command.path("profile_id").asText();
        var record = new ProducerRecord<>(topic, key.getBytes(UTF_8), line.getBytes(UTF_8));
        record.headers().add("authorization", ("Bearer " + System.getenv("SENDS")).getBytes(UTF_8));
        producer.send(record).get();
        for (var until = System.nanoTime() + ANSWER_WAIT.toNanos(); System.nanoTime() < until; Thread.sleep(200)) {
            var answer = ask(asked);
            // Each delivery of a refusal that claims nothing has an id of its own: this is not the earlier one.
            if (!answer.isMissingNode() && !answer.path("event_id").equals(earlier.path("event_id"))) return answer;
        }
        throw end(command.path("command_id").asText() + " is on the topic and has no answer yet: run this again.");
    }

    /** The answer as the gateway has it, missing where it has none. */
    static JsonNode ask(HttpRequest asked) throws Exception {
        for (;; Thread.sleep(1_000)) {
            try {
                var reply = HTTP.send(asked, HttpResponse.BodyHandlers.ofString());
                var code = reply.statusCode();
                if (code == 200) return JSON.readTree(reply.body());
                if (code == 404 || code == 202) return MissingNode.getInstance();
                if (code == 401 || code == 403) end("The gateway does not take the token in ASKS: " + code);
                System.err.println("The gateway is asked again: " + code);
            } catch (IOException trouble) {
                System.err.println("The gateway is asked again: " + trouble);
            }
        }
    }

    static RuntimeException end(String fault) {
        System.err.println(fault);
        System.exit(1);
        return null;
    }
}
