"""Up to where somebody said that the ledger's master data are as new as the log, after a restore."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# NULL: the ledger was restored, and nobody has said so yet. Workers wait.
UPGRADE = "ALTER TABLE consumed ADD COLUMN vouched_offset bigint DEFAULT 0"


def upgrade() -> None:
    """Nothing was restored so far as anybody knows."""
    op.execute(UPGRADE)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
