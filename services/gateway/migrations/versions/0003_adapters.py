"""Requests that came with a key, and the words of the Final API that no command carries."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UPGRADE = (
    # The command is kept as it was first made: made anew it would bear another time, and be another command.
    """
    CREATE TABLE gateway.requests (
        store_id text NOT NULL,
        command_id uuid NOT NULL,
        fingerprint bytea NOT NULL,
        command bytea NOT NULL,
        noted_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT requests_pkey PRIMARY KEY (store_id, command_id),
        CONSTRAINT requests_fingerprint_is_sha256 CHECK (octet_length(fingerprint) = 32)
    )
    """,
    "CREATE INDEX requests_by_time ON gateway.requests (noted_at)",
    # `sequence` is how far the session was when the words were written: a later closing has words of its own.
    """
    CREATE TABLE gateway.final_words (
        store_id text NOT NULL,
        session_id uuid NOT NULL,
        sequence bigint NOT NULL,
        words bytea NOT NULL,
        CONSTRAINT final_words_pkey PRIMARY KEY (store_id, session_id)
    )
    """,
)


def upgrade() -> None:
    """Create the tables."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
