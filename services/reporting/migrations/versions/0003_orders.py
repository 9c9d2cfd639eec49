"""Indexes that have closings in the order of their lists, however many of them were closed at one moment."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Makes the new ones before it drops those that they replace; no closing is taken meanwhile."""
    for name, columns in (
        ("closings_of_store", "store_id, closed_at, closing_id"),
        ("closings_of_profile", "store_id, profile_id, closed_at, closing_id"),
        ("closings_of_day", "business_date, closed_at, store_id, closing_id"),
        ("closings_of_all", "closed_at, store_id, closing_id"),
    ):
        op.execute(f"CREATE INDEX {name} ON reporting.closings ({columns})")
    op.execute("DROP INDEX reporting.closings_by_closed_at")
    op.execute("DROP INDEX reporting.closings_by_closed_at_everywhere")
