package tillstream.peer;

/** The command is answered with this reason. */
final class Refused extends Exception {
    private static final long serialVersionUID = 1L;
    final String reason;
    final String openSessionId;

    Refused(String reason) {
        this(reason, null);
    }

    Refused(String reason, String openSessionId) {
        // A refusal is an answer, not a fault: nobody looks at where it came from.
        super(reason, null, false, false);
        this.reason = reason;
        this.openSessionId = openSessionId;
    }
}
