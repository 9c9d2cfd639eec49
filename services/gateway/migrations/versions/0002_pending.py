"""Commands whose answer did not come in time, by their place in the commands topic."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPGRADE = (
    """
    CREATE TABLE gateway.pending (
        store_id text NOT NULL,
        command_id uuid NOT NULL,
        topic_id text NOT NULL,
        partition integer NOT NULL,
        record_offset bigint NOT NULL,
        noted_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pending_pkey PRIMARY KEY (store_id, command_id)
    )
    """,
    "CREATE INDEX pending_by_command ON gateway.pending (command_id)",
    "CREATE INDEX pending_by_time ON gateway.pending (noted_at)",
)


def upgrade() -> None:
    """Create the table."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
