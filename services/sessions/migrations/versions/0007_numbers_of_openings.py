"""Numbers of refused openings are kept for nobody any more: their index goes.

It had an entry for each command that was refused and had a number, whatever session it named.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the index. Workers of the version before look for such numbers at openings, and read on without it."""
    op.execute("DROP INDEX journal_refused_register_seq")


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
