"""Whose sale an order is, where a revision of it said so, and which rows the version before counted."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# A column with a constant default costs nothing however long the journal is: the rows that are there read 1, and those
# to come have the default of their day.
UPGRADE = (
    "ALTER TABLE journal ADD COLUMN sold_by bytea, ADD COLUMN counts smallint NOT NULL DEFAULT 1",
    "ALTER TABLE journal ALTER COLUMN counts SET DEFAULT 2",
)


def upgrade() -> None:
    """What is there was counted for nobody, and the money of open orders not at all."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
