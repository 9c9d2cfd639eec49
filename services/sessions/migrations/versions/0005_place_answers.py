"""Answers that claim nothing go when their records have gone from the topic, and are found by their command until then.

The version before writes them without the id of their command: such a row is found by its place alone, as before.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UPGRADE = (
    "ALTER TABLE place_answers ADD COLUMN command_id uuid",
    # The newest of many is the last entry of its id.
    """
    CREATE INDEX place_answers_of_command ON place_answers (store_id, command_id, received_at, record_offset)
        WHERE command_id IS NOT NULL
    """,
    "CREATE INDEX place_answers_by_age ON place_answers (received_at)",
)


def upgrade() -> None:
    """Add the column and the two indexes."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
