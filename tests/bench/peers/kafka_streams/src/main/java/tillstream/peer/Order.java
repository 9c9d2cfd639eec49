package tillstream.peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.serialization.Serde;

/** What an order's latest revision said, as far as a later one must take it back. */
record Order(int revision, boolean counts, boolean refund, List<Payment> payments) {
    static final Serde<Order> SERDE = Packed.serde(Order::read, Order::write);

    record Payment(String tender, long amount, long tip) {}

    static Order of(Command command) throws Refused {
        boolean refund = command.text("refund_of") != null;
        List<Payment> payments = new ArrayList<>();
        for (JsonNode payment : command.array("payments")) {
            payments.add(payment(payment, refund));
        }
        String status = command.text("status");
        boolean counts = status.equals("finished") || status.equals("forced_close");
        return new Order((int) command.number("revision"), counts, refund, payments);
    }

    private static Payment payment(JsonNode payment, boolean refund) throws Refused {
        long amount = payment.get("amount_minor").longValue();
        long tip = payment.path("tip_minor").longValue();
        long change = payment.path("change_minor").longValue();
        JsonNode tendered = payment.path("tendered_minor");
        boolean fits = tendered.isNumber() ? tendered.longValue() - change == amount : change == 0;
        if (!fits || tip > amount || (refund && tip > 0)) {
            throw new Refused("amount_invalid");
        }
        return new Payment(payment.get("tender").textValue(), amount, tip);
    }

    private static Order read(DataInputStream in) throws IOException {
        int revision = in.readInt();
        boolean counts = in.readBoolean();
        boolean refund = in.readBoolean();
        List<Payment> payments = new ArrayList<>();
        for (int left = in.readByte(); left > 0; left--) {
            payments.add(new Payment(in.readUTF(), in.readLong(), in.readLong()));
        }
        return new Order(revision, counts, refund, payments);
    }

    private void write(DataOutputStream out) throws IOException {
        out.writeInt(revision);
        out.writeBoolean(counts);
        out.writeBoolean(refund);
        out.writeByte(payments.size());
        for (Payment payment : payments) {
            out.writeUTF(payment.tender());
            out.writeLong(payment.amount());
            out.writeLong(payment.tip());
        }
    }
}
