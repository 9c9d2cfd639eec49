package tillstream.peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;

/** An answer: its bytes, and what its headers say of it. */
record Answer(String eventId, String kind, String receivedAt, byte[] value) {
    private static final int HASH_BYTES = 32;
    private static final byte[] VERSION = utf8("1.0");
    private static final byte[] SOURCE = utf8("/till/sessions");
    private static final byte[] JSON = utf8("application/json");

    /** The hash of the body that it answers, and then its bytes. */
    byte[] toKeep(byte[] bodyHash) {
        byte[] kept = Arrays.copyOf(bodyHash, HASH_BYTES + value.length);
        System.arraycopy(value, 0, kept, HASH_BYTES, value.length);
        return kept;
    }

    static boolean isFor(byte[] kept, byte[] bodyHash) {
        return Arrays.equals(kept, 0, HASH_BYTES, bodyHash, 0, HASH_BYTES);
    }

    static Answer kept(byte[] kept) {
        byte[] value = Arrays.copyOfRange(kept, HASH_BYTES, kept.length);
        JsonNode said = Json.read(value);
        return new Answer(
                said.get("event_id").textValue(),
                said.get("kind").textValue(),
                said.get("received_at").textValue(),
                value);
    }

    Headers headers(String commandId, Header trace) {
        Headers headers = new RecordHeaders()
                .add("ce_specversion", VERSION)
                .add("ce_id", utf8(eventId))
                .add("ce_type", utf8("till." + kind + ".v1"))
                .add("ce_source", SOURCE)
                .add("ce_time", utf8(receivedAt))
                .add("content-type", JSON)
                .add("till-command-id", utf8(commandId));
        return trace == null ? headers : headers.add(trace);
    }

    private static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
