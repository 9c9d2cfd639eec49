"""Indexes that have a store's closings and corrections by their positions, for who follows it alone."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Makes both; reads go on meanwhile, and the reader takes nothing until they are there."""
    # In the order of the migration before, for those who have that already.
    op.execute("LOCK TABLE reporting.consumed IN EXCLUSIVE MODE")
    op.execute("LOCK TABLE reporting.corrections, reporting.closings IN SHARE MODE")
    for table in ("closings", "corrections"):
        op.execute(f"""
            CREATE INDEX {table}_of_store_by_position
                ON reporting.{table} (store_id, topic, "partition", "offset")
        """)
