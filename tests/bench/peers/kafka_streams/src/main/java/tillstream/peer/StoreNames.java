package tillstream.peer;

/** The stores by name. */
final class StoreNames {
    static final String PROFILES = "profiles";
    static final String TILLS = "tills";
    static final String SESSIONS = "sessions";
    static final String ORDERS = "orders";
    static final String ANSWERS = "answers";

    private StoreNames() {}
}
