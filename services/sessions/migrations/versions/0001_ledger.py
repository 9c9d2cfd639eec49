"""The ledger: profiles, tills, sessions, the journal, closings, and how far the commands topic has been applied."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UPGRADE = (
    """
    CREATE TABLE profiles (
        store_id text NOT NULL,
        profile_id text NOT NULL,
        name text NOT NULL,
        currency text NOT NULL,
        tenders jsonb NOT NULL,
        over_short_limit_minor bigint,
        blind boolean NOT NULL,
        idle_close_after_s bigint,
        late_window_s bigint NOT NULL,
        allow_negative_drawer boolean NOT NULL,
        business_day_starts_at text NOT NULL,
        own_provider text NOT NULL,
        enabled boolean NOT NULL,
        store_name text NOT NULL,
        company_id text,
        CONSTRAINT profiles_pkey PRIMARY KEY (store_id, profile_id),
        CONSTRAINT profiles_limit_not_negative CHECK (over_short_limit_minor >= 0),
        CONSTRAINT profiles_blind_may_go_negative CHECK (NOT blind OR allow_negative_drawer)
    )
    """,
    # One row per profile, small and rewritten often: the row that every batch locks. Room on its pages lets an update
    # stay on the page and touch no index.
    """
    CREATE TABLE tills (
        store_id text NOT NULL,
        profile_id text NOT NULL,
        open_session_id uuid,
        sessions_opened bigint NOT NULL DEFAULT 0,
        z_number bigint NOT NULL DEFAULT 0,
        last_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
        fence bigint NOT NULL DEFAULT 0,
        CONSTRAINT tills_pkey PRIMARY KEY (store_id, profile_id),
        CONSTRAINT tills_of_a_profile FOREIGN KEY (store_id, profile_id) REFERENCES profiles,
        CONSTRAINT tills_numbers_not_negative CHECK (sessions_opened >= 0 AND z_number >= 0 AND fence >= 0),
        CONSTRAINT tills_hash_is_sha256 CHECK (octet_length(last_hash) = 32)
    ) WITH (fillfactor = 50)
    """,
    # `opening` and `tenders` are frozen at the opening; `totals` are the running figures. All are JSON as text in
    # bytea, because jsonb costs five times as much to load and to update; SQL reads them by
    # convert_from(totals, 'UTF8')::jsonb.
    """
    CREATE TABLE sessions (
        store_id text NOT NULL,
        session_id uuid NOT NULL,
        profile_id text NOT NULL,
        state text NOT NULL,
        sequence bigint NOT NULL,
        journal_hash bytea NOT NULL,
        opening bytea NOT NULL,
        tenders bytea NOT NULL,
        totals bytea NOT NULL,
        register bytea NOT NULL,
        ending bytea NOT NULL,
        ordinal bigint NOT NULL,
        moved_at timestamptz NOT NULL,
        fence bigint NOT NULL,
        CONSTRAINT sessions_pkey PRIMARY KEY (store_id, session_id),
        CONSTRAINT sessions_of_a_till FOREIGN KEY (store_id, profile_id) REFERENCES tills,
        CONSTRAINT sessions_state_known CHECK (state IN ('open', 'suspended', 'pending', 'closed', 'voided')),
        CONSTRAINT sessions_ordinal_once UNIQUE (store_id, profile_id, ordinal),
        CONSTRAINT sessions_ordinal_from_one CHECK (ordinal >= 1),
        CONSTRAINT sessions_sequence_from_one CHECK (sequence >= 1),
        CONSTRAINT sessions_hash_is_sha256 CHECK (octet_length(journal_hash) = 32)
    ) WITH (fillfactor = 60)
    """,
    """
    CREATE UNIQUE INDEX one_open_session_per_profile ON sessions (store_id, profile_id)
        WHERE state IN ('open', 'suspended')
    """,
    # Every command that claimed its id, with the answer as the bytes that were published. An accepted one has a
    # sequence and its body: these rows are the session's journal. The unique index is the last guard against a
    # decision on old state: it would take a sequence that is taken.
    """
    CREATE TABLE journal (
        store_id text NOT NULL,
        command_id uuid NOT NULL,
        body_hash bytea NOT NULL,
        profile_id text NOT NULL,
        session_id uuid,
        sequence bigint,
        received_at timestamptz NOT NULL,
        kind text NOT NULL,
        reason text,
        register_seq bigint,
        order_id text,
        revision bigint,
        link bytea,
        command bytea,
        answer bytea NOT NULL,
        CONSTRAINT journal_pkey PRIMARY KEY (store_id, command_id),
        CONSTRAINT journal_hash_is_sha256 CHECK (octet_length(body_hash) = 32),
        CONSTRAINT journal_refused_or_in_sequence CHECK (
            CASE WHEN reason IS NULL
                THEN sequence IS NOT NULL AND sequence >= 1 AND session_id IS NOT NULL
                     AND command IS NOT NULL AND link IS NOT NULL AND octet_length(link) = 32
                ELSE sequence IS NULL AND command IS NULL AND link IS NULL
            END
        )
    )
    """,
    """
    CREATE UNIQUE INDEX journal_sequence_once ON journal (store_id, session_id, sequence)
        WHERE sequence IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX journal_order_revision_once ON journal (store_id, session_id, order_id, revision)
        WHERE order_id IS NOT NULL
    """,
    """
    CREATE INDEX journal_refused_register_seq ON journal (store_id, session_id)
        WHERE register_seq IS NOT NULL AND reason IS NOT NULL
    """,
    """
    CREATE TABLE voids (
        store_id text NOT NULL,
        movement_id uuid NOT NULL,
        command_id uuid NOT NULL,
        CONSTRAINT voids_once PRIMARY KEY (store_id, movement_id),
        CONSTRAINT voids_by_a_command FOREIGN KEY (store_id, command_id) REFERENCES journal
    )
    """,
    # Refusals of another body under an id that is taken: one for each such body.
    """
    CREATE TABLE reused_answers (
        store_id text NOT NULL,
        command_id uuid NOT NULL,
        body_hash bytea NOT NULL,
        received_at timestamptz NOT NULL,
        answer bytea NOT NULL,
        CONSTRAINT reused_answers_pkey PRIMARY KEY (store_id, command_id, body_hash)
    )
    """,
    # Answers that claim no id (bad token, no right, parked): they belong to the record's place in the topic.
    """
    CREATE TABLE place_answers (
        store_id text NOT NULL,
        topic_id text NOT NULL,
        partition integer NOT NULL,
        record_offset bigint NOT NULL,
        kind text NOT NULL,
        received_at timestamptz NOT NULL,
        error text,
        answer bytea NOT NULL,
        CONSTRAINT place_answers_pkey PRIMARY KEY (store_id, topic_id, partition, record_offset)
    )
    """,
    """
    CREATE TABLE closings (
        store_id text NOT NULL,
        session_id uuid NOT NULL,
        closing_id uuid NOT NULL,
        profile_id text NOT NULL,
        z_number bigint NOT NULL,
        prev_hash bytea NOT NULL,
        hash bytea NOT NULL,
        business_date date NOT NULL,
        closed_at timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        body bytea NOT NULL,
        CONSTRAINT closings_one_per_session PRIMARY KEY (store_id, session_id),
        CONSTRAINT closings_z_number_once UNIQUE (store_id, profile_id, z_number),
        CONSTRAINT closings_of_a_session FOREIGN KEY (store_id, session_id) REFERENCES sessions,
        CONSTRAINT closings_z_number_from_one CHECK (z_number >= 1)
    )
    """,
    """
    CREATE TABLE corrections (
        store_id text NOT NULL,
        session_id uuid NOT NULL,
        correction_number bigint NOT NULL,
        correction_id uuid NOT NULL,
        command_id uuid NOT NULL,
        needs_review boolean NOT NULL,
        received_at timestamptz NOT NULL,
        body bytea NOT NULL,
        CONSTRAINT corrections_number_once PRIMARY KEY (store_id, session_id, correction_number),
        CONSTRAINT corrections_one_per_command UNIQUE (store_id, command_id),
        CONSTRAINT corrections_of_a_closing FOREIGN KEY (store_id, session_id) REFERENCES closings,
        CONSTRAINT corrections_number_from_one CHECK (correction_number >= 1)
    )
    """,
    # The frontier: `next_offset` moves with the effects; below `answered_offset` every answer is known to be published.
    # `expired` counts commands that the broker deleted before they were read.
    """
    CREATE TABLE consumed (
        topic_id text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL,
        answered_offset bigint NOT NULL,
        expired bigint NOT NULL DEFAULT 0,
        CONSTRAINT consumed_pkey PRIMARY KEY (topic_id, partition),
        CONSTRAINT consumed_answers_follow_effects CHECK (answered_offset <= next_offset)
    ) WITH (fillfactor = 20)
    """,
)


def upgrade() -> None:
    """Create the ledger."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: a ledger is not dropped by a tool."""
    raise NotImplementedError("The ledger is not dropped by a migration; restore a backup instead.")
