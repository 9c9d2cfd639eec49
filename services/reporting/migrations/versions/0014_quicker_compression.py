"""Closings are compressed by lz4 where PostgreSQL has it: half of storing one was compressing it."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Compresses what is stored from now on so; what is there stays as it is, and is read as before."""
    # PostgreSQL may have been built without it, and the way that it has otherwise does as well.
    op.execute("""
        DO $$ BEGIN
            ALTER TABLE reporting.closings ALTER COLUMN value SET COMPRESSION lz4;
        EXCEPTION WHEN feature_not_supported THEN
            NULL;
        END $$
    """)
