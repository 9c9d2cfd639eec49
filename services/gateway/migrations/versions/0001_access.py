"""Who may come in: users, the passwords of profiles, API keys, and the wrong passwords of the last minutes."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UPGRADE = (
    "CREATE SCHEMA IF NOT EXISTS gateway",
    # A user belongs to a store: two stores may each have their own `ana`. `revoked_at` keeps the row, so that lists
    # show who was here.
    """
    CREATE TABLE gateway.users (
        store_id text NOT NULL,
        user_id text NOT NULL,
        role text NOT NULL,
        profile_id text,
        password_hash text NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz,
        CONSTRAINT users_pkey PRIMARY KEY (store_id, user_id),
        CONSTRAINT users_role_known CHECK (role IN ('register', 'cashier', 'manager', 'admin', 'reader')),
        CONSTRAINT users_are_no_keys CHECK (user_id NOT LIKE 'key:%')
    )
    """,
    """
    CREATE TABLE gateway.profile_passwords (
        store_id text NOT NULL,
        profile_id text NOT NULL,
        password_hash text NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT profile_passwords_pkey PRIMARY KEY (store_id, profile_id)
    )
    """,
    # SHA-256 and nothing slower: a key is 256 random bits, which nobody can guess at any speed, and it is looked up
    # with every request. After a rotation the previous secret counts until `previous_until`.
    """
    CREATE TABLE gateway.api_keys (
        store_id text NOT NULL,
        key_id text NOT NULL,
        company_id text NOT NULL,
        role text NOT NULL,
        key_hash bytea NOT NULL,
        previous_hash bytea,
        previous_until timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        revoked_at timestamptz,
        CONSTRAINT api_keys_pkey PRIMARY KEY (store_id, key_id),
        CONSTRAINT api_keys_role_known CHECK (role IN ('register', 'manager')),
        CONSTRAINT api_keys_hash_is_sha256 CHECK (octet_length(key_hash) = 32),
        CONSTRAINT api_keys_previous_has_an_end CHECK ((previous_hash IS NULL) = (previous_until IS NULL))
    )
    """,
    "CREATE UNIQUE INDEX api_keys_by_hash ON gateway.api_keys (key_hash)",
    """
    CREATE UNIQUE INDEX api_keys_by_previous_hash ON gateway.api_keys (previous_hash)
        WHERE previous_hash IS NOT NULL
    """,
    # One row per wrong password, so that all gateways count together; `kind` is profile or user. Names that nobody has
    # are counted as well: otherwise the limit would tell who is a user.
    """
    CREATE TABLE gateway.failures (
        store_id text NOT NULL,
        kind text NOT NULL,
        name text NOT NULL,
        failed_at timestamptz NOT NULL,
        CONSTRAINT failures_pkey PRIMARY KEY (store_id, kind, name, failed_at),
        CONSTRAINT failures_kind_known CHECK (kind IN ('profile', 'user'))
    )
    """,
    "CREATE INDEX failures_by_time ON gateway.failures (failed_at)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: accounts are not dropped by a tool."""
    raise NotImplementedError("Users and keys are not dropped by a migration; restore a backup instead.")
