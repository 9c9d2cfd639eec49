package tillstream.peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.cfg.JsonNodeFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;

/** JSON in the form that the wire has: no white space, nothing escaped that need not be. */
final class Json {
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .enable(JsonWriteFeature.COMBINE_UNICODE_SURROGATES_IN_UTF8)
            .disable(JsonWriteFeature.WRITE_HEX_UPPER_CASE)
            .build();
    private static final JsonMapper MAPPER = JsonMapper.builder(FACTORY)
            .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();
    private static final ObjectWriter CANONICAL = MAPPER.writer().with(JsonNodeFeature.WRITE_PROPERTIES_SORTED);

    private Json() {}

    interface Content {
        void write(JsonGenerator out) throws IOException;
    }

    static JsonNode read(byte[] data) {
        try {
            return MAPPER.readTree(data);
        } catch (IOException unreadable) {
            throw new UncheckedIOException(unreadable);
        }
    }

    /** Equal values give equal bytes, whatever the order of their members. */
    static byte[] canonical(JsonNode value) {
        try {
            return CANONICAL.writeValueAsBytes(value);
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible);
        }
    }

    static JsonNode onlyCash(String currency) {
        ObjectNode cash = MAPPER.createObjectNode();
        cash.put("id", "cash").put("name", "cash").put("type", "cash");
        cash.put("currency", currency).put("exchange_rate", "1");
        return MAPPER.createArrayNode().add(cash);
    }

    static byte[] object(Content content) {
        ByteArrayBuilder data = new ByteArrayBuilder();
        try (JsonGenerator out = FACTORY.createGenerator(data)) {
            out.writeStartObject();
            content.write(out);
            out.writeEndObject();
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible);
        }
        return data.toByteArray();
    }
}
