package tillstream.peer;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** State as few bytes, member after member: less to write, to log and to read than JSON. */
final class Packed {
    private static final int USUAL_SIZE = 256;

    private Packed() {}

    interface Reader<T> {
        T read(DataInputStream in) throws IOException;
    }

    interface Writer<T> {
        void write(T value, DataOutputStream out) throws IOException;
    }

    static <T> Serde<T> serde(Reader<T> reader, Writer<T> writer) {
        return Serdes.serdeFrom((topic, value) -> pack(value, writer), (topic, data) -> unpack(data, reader));
    }

    private static <T> byte[] pack(T value, Writer<T> writer) {
        if (value == null) {
            return null;
        }
        ByteArrayOutputStream data = new ByteArrayOutputStream(USUAL_SIZE);
        try {
            writer.write(value, new DataOutputStream(data));
        } catch (IOException impossible) {
            throw new UncheckedIOException(impossible);
        }
        return data.toByteArray();
    }

    private static <T> T unpack(byte[] data, Reader<T> reader) {
        if (data == null) {
            return null;
        }
        try {
            return reader.read(new DataInputStream(new ByteArrayInputStream(data)));
        } catch (IOException wrong) {
            throw new UncheckedIOException(wrong);
        }
    }
}
