package tillstream.peer;

import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;

/** Times as they are written on the wire: UTC with six fraction digits, so that comparing texts compares times. */
final class Times {
    private static final int WIRE_LENGTH = "2026-01-05T00:00:00.000000Z".length();
    private static final DateTimeFormatter WIRE =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSSSSS'Z'").withZone(ZoneOffset.UTC);

    private Times() {}

    static String fromMillis(long millis) {
        return WIRE.format(Instant.ofEpochMilli(millis));
    }

    static String read(String text) {
        // Most registers write the wire's own form.
        boolean asIs = text.length() == WIRE_LENGTH && text.charAt(WIRE_LENGTH - 1) == 'Z';
        return asIs ? text : WIRE.format(OffsetDateTime.parse(text));
    }

    static String earlier(String one, String other) {
        return one.compareTo(other) <= 0 ? one : other;
    }

    /** The date of the moment `time` where the clock showed `local`. */
    static String businessDate(String time, String local) {
        ZoneOffset offset = OffsetDateTime.parse(local).getOffset();
        return Instant.parse(time).atOffset(offset).toLocalDate().toString();
    }
}
