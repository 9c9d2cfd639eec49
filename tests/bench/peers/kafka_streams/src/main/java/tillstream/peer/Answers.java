package tillstream.peer;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.util.Map;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** Answers are written here, member by member in the order of the wire. */
final class Answers {
    /** Tills are set up once before a comparison. */
    private static final int PROFILE_VERSION = 1;

    private static final Map<String, String> MESSAGES = Map.of(
            "command_id_reused", "This command number was already used for something else.",
            "profile_unknown", "This till is not set up in this store. Send it again once it is.",
            "session_already_open", "This till already has an open session; close it first.",
            "session_unknown", "This till has no such session. Send it again once its opening was accepted.",
            "session_closed", "This session is closed.",
            "tender_unknown", "This session does not take that means of payment. Send it again once it does.",
            "currency_mismatch", "The currency is not that of this till.",
            "amount_invalid", "The amounts do not add up or are too large.",
            "order_revision_stale", "A newer version of this order is already recorded.");

    private Answers() {}

    static Answer rejected(Command command, Refused refused, String eventId) {
        return write("command_rejected", command, eventId, 0, out -> {
            out.writeStringField("reason", refused.reason);
            out.writeStringField("message", MESSAGES.get(refused.reason));
            if (refused.openSessionId != null) {
                out.writeStringField("open_session_id", refused.openSessionId);
            }
        });
    }

    static Answer opened(Command command, int sequence, String businessDate, String sessionNumber) {
        return accepted("session_opened", command, sequence, out -> {
            out.writeStringField("currency", command.text("currency"));
            tenders(command, out);
            opening(command, out);
            out.writeStringField("business_date", businessDate);
            out.writeStringField("session_number", sessionNumber);
            out.writeStringField("station", command.text("station"));
            out.writeStringField("note", command.text("note"));
            out.writeArrayFieldStart("notes");
            for (JsonNode note : command.array("notes")) {
                out.writeString(note.textValue());
            }
            out.writeEndArray();
        });
    }

    static Answer moved(Command command, int sequence, String tender) {
        return accepted("cash_moved", command, sequence, out -> {
            out.writeStringField("movement", command.text("movement"));
            out.writeNumberField("amount_minor", command.number("amount_minor"));
            out.writeStringField("tender", tender);
            out.writeStringField("category", command.text("category"));
            out.writeStringField("description", command.text("description"));
        });
    }

    static Answer recorded(Command command, int sequence) {
        return accepted("order_recorded", command, sequence, out -> {
            out.writeStringField("order_id", command.text("order_id"));
            out.writeNumberField("revision", command.number("revision"));
            out.writeStringField("status", command.text("status"));
        });
    }

    static Answer closed(Command command, int sequence, long zNumber) {
        String closingId = Ids.uuid5("till-closing:" + command.storeId() + "/" + command.sessionId());
        return accepted("session_closed", command, sequence, out -> {
            out.writeStringField("closing_id", closingId);
            out.writeNumberField("z_number", zNumber);
            out.writeStringField("closed_at", command.counted());
            out.writeBooleanField("uncounted", false);
            out.writeNullField("approved_by");
        });
    }

    static String eventId(Command command) {
        return Ids.uuid5("till:" + command.storeId() + "/" + command.commandId());
    }

    /** The id of an answer that claims nothing: it belongs to the record. */
    static String eventId(RecordMetadata record) {
        return Ids.uuid5("till:" + record.topic() + "/" + record.partition() + "/" + record.offset());
    }

    private static Answer accepted(String kind, Command command, int sequence, Json.Content details) {
        return write(kind, command, eventId(command), sequence, details);
    }

    /** What every answer says, and then its details. A refusal has no sequence. */
    private static Answer write(String kind, Command command, String eventId, int sequence, Json.Content details) {
        byte[] value = Json.object(out -> {
            out.writeStringField("kind", kind);
            out.writeStringField("event_id", eventId);
            out.writeStringField("command_id", command.commandId());
            out.writeStringField("command_kind", command.kind());
            out.writeStringField("store_id", command.storeId());
            out.writeStringField("profile_id", command.profileId());
            out.writeStringField("session_id", command.sessionId());
            if (sequence > 0) {
                out.writeNumberField("sequence", sequence);
                out.writeNumberField("profile_version", PROFILE_VERSION);
            }
            out.writeStringField("occurred_at", command.occurredAt());
            out.writeStringField("received_at", command.receivedAt());
            out.writeObjectFieldStart("actor");
            copy(command.body().get("actor"), out, "id", "name");
            out.writeEndObject();
            details.write(out);
        });
        return new Answer(eventId, kind, command.receivedAt(), value);
    }

    private static void tenders(Command command, JsonGenerator out) throws IOException {
        out.writeArrayFieldStart("tenders");
        for (JsonNode tender : command.tenders()) {
            out.writeStartObject();
            copy(tender, out, "id", "name", "type", "currency", "exchange_rate");
            out.writeEndObject();
        }
        out.writeEndArray();
    }

    private static void opening(Command command, JsonGenerator out) throws IOException {
        out.writeArrayFieldStart("opening");
        for (JsonNode entry : command.array("opening")) {
            out.writeStartObject();
            out.writeStringField("tender", entry.get("tender").textValue());
            out.writeNumberField("amount_minor", entry.get("amount_minor").longValue());
            JsonNode parts = entry.path("denominations");
            if (parts.isArray()) {
                denominations(parts, out);
            } else {
                out.writeNullField("denominations");
            }
            out.writeEndObject();
        }
        out.writeEndArray();
    }

    private static void denominations(JsonNode parts, JsonGenerator out) throws IOException {
        out.writeArrayFieldStart("denominations");
        for (JsonNode part : parts) {
            out.writeStartObject();
            out.writeNumberField("value_minor", part.get("value_minor").longValue());
            out.writeNumberField("count", part.get("count").longValue());
            out.writeEndObject();
        }
        out.writeEndArray();
    }

    /** Texts of an object in the order of the wire, whatever order they came in. */
    private static void copy(JsonNode from, JsonGenerator out, String... names) throws IOException {
        for (String name : names) {
            out.writeStringField(name, from.path(name).textValue());
        }
    }
}
