"""When a profile was first imported, and when last."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UPGRADE = """
    ALTER TABLE profiles
        ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
        ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now()
"""


def upgrade() -> None:
    """Add the two times; for profiles that are there already both are now."""
    op.execute(UPGRADE)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
