package tillstream.peer;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import org.apache.kafka.common.serialization.Serde;

/** A till's counters, and the session that holds it (empty when none does). */
final class Till {
    static final Serde<Till> SERDE = Packed.serde(Till::new, Till::write);
    long zNumber;
    long sessionsOpened;
    String openSessionId = "";

    Till() {}

    private Till(DataInputStream in) throws IOException {
        zNumber = in.readLong();
        sessionsOpened = in.readLong();
        openSessionId = in.readUTF();
    }

    private void write(DataOutputStream out) throws IOException {
        out.writeLong(zNumber);
        out.writeLong(sessionsOpened);
        out.writeUTF(openSessionId);
    }
}
