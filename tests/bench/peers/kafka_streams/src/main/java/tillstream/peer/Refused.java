package tillstream.peer;

import java.util.Set;

/** The command is answered with this reason. */
final class Refused extends Exception {
    private static final long serialVersionUID = 1L;
    private static final Set<String> CLAIMLESS = Set.of("profile_unknown", "session_unknown", "tender_unknown");
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

    /** Whether the answer takes the command's id for good. What is missing may come, so such refusals take none. */
    boolean claims() {
        return !CLAIMLESS.contains(reason);
    }
}
