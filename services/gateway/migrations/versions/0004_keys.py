"""Which request an `Idempotency-Key` belongs to, and what that request was told."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UPGRADE = (
    # A request may lead to no command, or to several: its key is held here, its commands in gateway.requests. The key
    # itself is text of any kind; `key_id` is the id that follows from it. Without a reply it is not done yet.
    # `plan` are the commands of a request that may lead to several, decided once: the session may have moved since.
    """
    CREATE TABLE gateway.keyed (
        store_id text NOT NULL,
        key_id uuid NOT NULL,
        fingerprint bytea NOT NULL,
        plan bytea,
        status smallint,
        reply bytea,
        noted_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT keyed_pkey PRIMARY KEY (store_id, key_id),
        CONSTRAINT keyed_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32),
        CONSTRAINT keyed_reply_has_a_status CHECK ((status IS NULL) = (reply IS NULL))
    )
    """,
    "CREATE INDEX keyed_by_time ON gateway.keyed (noted_at)",
)


def upgrade() -> None:
    """Create the table."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
