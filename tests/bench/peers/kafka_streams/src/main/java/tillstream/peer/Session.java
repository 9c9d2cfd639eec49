package tillstream.peer;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.common.serialization.Serde;

/** A session with its running totals by tender. */
final class Session {
    static final Serde<Session> SERDE = Packed.serde(Session::new, Session::write);
    private static final long UNCOUNTED = -1;

    final String till;
    final String openedAt;
    final Map<String, Totals> tenders = new LinkedHashMap<>();
    String closedAt = "";
    int sequence;

    /** What came and went in one tender. */
    static final class Totals {
        final String type;
        long expected;
        long sales;
        long tips;
        long orders;
        long counted = UNCOUNTED;

        Totals(String type, long expected) {
            this.type = type;
            this.expected = expected;
        }

        boolean isCash() {
            return type.equals("cash");
        }

        boolean hasDrawer() {
            return !type.equals("third_party");
        }
    }

    Session(String till, String openedAt) {
        this.till = till;
        this.openedAt = openedAt;
    }

    boolean isOpen() {
        return closedAt.isEmpty();
    }

    /** Count an order's payments, or with sign -1 take them back. */
    void add(Order order, int sign) {
        if (!order.counts()) {
            return;
        }
        int direction = order.refund() ? -sign : sign;
        for (Order.Payment payment : order.payments()) {
            Totals totals = tenders.get(payment.tender());
            totals.expected += direction * payment.amount();
            totals.sales += direction * (payment.amount() - payment.tip());
            totals.tips += direction * payment.tip();
            totals.orders += sign;
        }
    }

    private Session(DataInputStream in) throws IOException {
        till = in.readUTF();
        openedAt = in.readUTF();
        closedAt = in.readUTF();
        sequence = in.readInt();
        for (int left = in.readByte(); left > 0; left--) {
            String tender = in.readUTF();
            Totals totals = new Totals(in.readUTF(), in.readLong());
            totals.sales = in.readLong();
            totals.tips = in.readLong();
            totals.orders = in.readLong();
            totals.counted = in.readLong();
            tenders.put(tender, totals);
        }
    }

    private void write(DataOutputStream out) throws IOException {
        out.writeUTF(till);
        out.writeUTF(openedAt);
        out.writeUTF(closedAt);
        out.writeInt(sequence);
        out.writeByte(tenders.size());
        for (Map.Entry<String, Totals> entry : tenders.entrySet()) {
            Totals totals = entry.getValue();
            out.writeUTF(entry.getKey());
            out.writeUTF(totals.type);
            out.writeLong(totals.expected);
            out.writeLong(totals.sales);
            out.writeLong(totals.tips);
            out.writeLong(totals.orders);
            out.writeLong(totals.counted);
        }
    }
}
