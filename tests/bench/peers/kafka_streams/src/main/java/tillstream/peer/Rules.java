package tillstream.peer;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigDecimal;
import java.util.HashSet;
import java.util.Set;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.state.KeyValueStore;

/** The rules: opening, moving, ordering and closing, on the state of one partition. */
final class Rules {
    private static final Set<String> ADDS = Set.of("pay_in", "float_loan");

    private final KeyValueStore<String, String> profiles;
    private final KeyValueStore<String, Till> tills;
    private final KeyValueStore<String, Session> sessions;
    private final KeyValueStore<String, Order> orders;

    Rules(ProcessorContext<?, ?> context) {
        profiles = context.getStateStore(StoreNames.PROFILES);
        tills = context.getStateStore(StoreNames.TILLS);
        sessions = context.getStateStore(StoreNames.SESSIONS);
        orders = context.getStateStore(StoreNames.ORDERS);
    }

    Answer decide(Command command) throws Refused {
        return switch (command.kind()) {
            case "open_session" -> open(command);
            case "move_cash" -> moveCash(command);
            case "record_order" -> recordOrder(command);
            case "close_session" -> close(command);
            default -> throw new IllegalArgumentException("The bench has no command of kind " + command.kind());
        };
    }

    private Answer open(Command command) throws Refused {
        String currency = currency(command);
        Till till = till(command);
        if (!till.openSessionId.isEmpty()) {
            throw new Refused("session_already_open", till.openSessionId);
        }
        if (sessions.get(sessionKey(command)) != null) {
            throw new Refused("session_closed");
        }
        Session session = new Session(command.till(), command.counted());
        for (JsonNode tender : command.tenders()) {
            session.tenders.put(tender.get("id").textValue(), new Session.Totals(tender.get("type").textValue(), 0));
        }
        require(withDrawer(session, command.array("opening")), "tender_unknown");
        require(inBase(command, currency), "currency_mismatch");
        require(addsUp(command.array("opening")), "amount_invalid");
        for (JsonNode entry : command.array("opening")) {
            session.tenders.get(entry.get("tender").textValue()).expected = amount(entry);
        }
        till.sessionsOpened++;
        till.openSessionId = command.sessionId();
        tills.put(command.till(), till);
        int sequence = accept(command, session);
        String date = command.text("business_date");
        String number = command.text("session_number");
        return Answers.opened(
                command,
                sequence,
                date != null ? date : Times.businessDate(command.counted(), command.text("occurred_at")),
                number != null ? number : Long.toString(till.sessionsOpened));
    }

    private Answer moveCash(Command command) throws Refused {
        Session session = session(command);
        String tender = command.text("tender") == null ? "cash" : command.text("tender");
        Session.Totals totals = session.tenders.get(tender);
        require(totals != null && totals.isCash(), "tender_unknown");
        long amount = command.number("amount_minor");
        String movement = command.text("movement");
        require((amount == 0) == movement.equals("no_sale"), "amount_invalid");
        totals.expected += ADDS.contains(movement) ? amount : -amount;
        return Answers.moved(command, accept(command, session), tender);
    }

    private Answer recordOrder(Command command) throws Refused {
        Session session = session(command);
        for (JsonNode payment : command.array("payments")) {
            require(session.tenders.containsKey(payment.get("tender").textValue()), "tender_unknown");
        }
        Order order = Order.of(command);
        long discounts = sum(command.array("discounts"));
        long gross = command.number("gross_minor");
        long total = gross - discounts + sum(command.array("service_charges"));
        require(discounts <= gross && command.number("tax_minor") <= total, "amount_invalid");
        String key = sessionKey(command) + "/" + command.text("order_id");
        Order earlier = orders.get(key);
        if (earlier != null) {
            require(order.revision() > earlier.revision(), "order_revision_stale");
            session.add(earlier, -1);
        }
        session.add(order, 1);
        orders.put(key, order);
        return Answers.recorded(command, accept(command, session));
    }

    private Answer close(Command command) throws Refused {
        Session session = session(command);
        require(withDrawer(session, command.array("counted")), "tender_unknown");
        require(addsUp(command.array("counted")), "amount_invalid");
        for (JsonNode entry : command.array("counted")) {
            session.tenders.get(entry.get("tender").textValue()).counted = amount(entry);
        }
        session.closedAt = command.counted();
        Till till = till(command);
        till.openSessionId = "";
        till.zNumber++;
        tills.put(command.till(), till);
        return Answers.closed(command, accept(command, session), till.zNumber);
    }

    private int accept(Command command, Session session) {
        session.sequence++;
        sessions.put(sessionKey(command), session);
        return session.sequence;
    }

    private Session session(Command command) throws Refused {
        Session session = sessions.get(sessionKey(command));
        if (session == null || !session.till.equals(command.till())) {
            currency(command);
            throw new Refused("session_unknown");
        }
        require(session.isOpen(), "session_closed");
        return session;
    }

    private Till till(Command command) {
        Till till = tills.get(command.till());
        return till == null ? new Till() : till;
    }

    private String currency(Command command) throws Refused {
        String currency = profiles.get(command.till());
        require(currency != null, "profile_unknown");
        return currency;
    }

    private static String sessionKey(Command command) {
        return command.storeId() + "/" + command.sessionId();
    }

    private static boolean withDrawer(Session session, JsonNode entries) {
        for (JsonNode entry : entries) {
            Session.Totals totals = session.tenders.get(entry.get("tender").textValue());
            if (totals == null || !totals.hasDrawer()) {
                return false;
            }
        }
        return true;
    }

    private static boolean inBase(Command command, String currency) {
        for (JsonNode tender : command.tenders()) {
            boolean base = tender.get("currency").textValue().equals(command.text("currency"));
            BigDecimal rate = new BigDecimal(tender.get("exchange_rate").textValue());
            if (base && rate.compareTo(BigDecimal.ONE) != 0) {
                return false;
            }
        }
        return currency.equals(command.text("currency"));
    }

    /** Whether no tender stands twice and all denominations add up to their amounts. */
    private static boolean addsUp(JsonNode entries) {
        Set<String> seen = new HashSet<>();
        for (JsonNode entry : entries) {
            JsonNode parts = entry.path("denominations");
            long sum = 0;
            for (JsonNode part : parts) {
                sum += part.get("value_minor").longValue() * part.get("count").longValue();
            }
            if (!seen.add(entry.get("tender").textValue()) || (parts.isArray() && sum != amount(entry))) {
                return false;
            }
        }
        return true;
    }

    private static long sum(JsonNode entries) {
        long sum = 0;
        for (JsonNode entry : entries) {
            sum += amount(entry);
        }
        return sum;
    }

    private static long amount(JsonNode entry) {
        return entry.get("amount_minor").longValue();
    }

    private static void require(boolean holds, String reason) throws Refused {
        if (!holds) {
            throw new Refused(reason);
        }
    }
}
