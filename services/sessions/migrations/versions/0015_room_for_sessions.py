"""Room on the pages of sessions: every session of a page can be written once more in a batch without an index."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Fill new pages by half. What is there stays as it is: a session is written no more once it is closed."""
    op.execute("ALTER TABLE sessions SET (fillfactor = 50)")


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
