package tillstream.peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Locale;

/** One command as it came, and when the broker took it. */
record Command(
        JsonNode body,
        byte[] bodyHash,
        String kind,
        String commandId,
        String storeId,
        String profileId,
        String sessionId,
        String occurredAt,
        String receivedAt) {

    static Command read(byte[] data, String receivedAt) {
        JsonNode body = Json.read(data);
        return new Command(
                body,
                Ids.sha256(Json.canonical(body)),
                body.get("kind").textValue(),
                id(body.get("command_id")),
                body.get("store_id").textValue(),
                body.get("profile_id").textValue(),
                id(body.get("session_id")),
                Times.read(body.get("occurred_at").textValue()),
                receivedAt);
    }

    String till() {
        return storeId + "/" + profileId;
    }

    /** The register's time, or the broker's where the register's clock is fast. */
    String counted() {
        return Times.earlier(occurredAt, receivedAt);
    }

    /** A text; null where there is none. */
    String text(String name) {
        return body.path(name).textValue();
    }

    long number(String name) {
        return body.path(name).longValue();
    }

    /** An array; without elements where there is none. */
    JsonNode array(String name) {
        return body.path(name);
    }

    /** The tenders of the session to open: those in the command, or else cash in its currency alone. */
    JsonNode tenders() {
        JsonNode given = array("tenders");
        return given.isArray() ? given : Json.onlyCash(text("currency"));
    }

    private static String id(JsonNode text) {
        return text.textValue().toLowerCase(Locale.ROOT);
    }
}
