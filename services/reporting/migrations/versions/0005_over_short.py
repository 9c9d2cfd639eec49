"""What closings are searched and added up by: their people, their numbers, and their over/short as it stands now."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the columns, empty: the reader fills those of before by portions, and so those that an older reader adds.

    The tables are locked until all indexes are built, each of which reads all closings. Meanwhile reporting's reads
    wait, or fail with 503 after some seconds, and its reader waits.
    """
    op.execute("""
        ALTER TABLE reporting.closings
            ADD COLUMN currency             text,
            ADD COLUMN session_number       text,
            ADD COLUMN opened_by            text,
            ADD COLUMN opened_by_name       text,
            ADD COLUMN people               text[],
            ADD COLUMN over_short_minor     numeric,
            ADD COLUMN over_short_now_minor numeric,
            ADD COLUMN needs_review         boolean NOT NULL DEFAULT false
    """)
    op.execute("""
        ALTER TABLE reporting.corrections
            ADD COLUMN needs_review     boolean,
            ADD COLUMN over_short_delta_minor numeric
    """)
    op.execute("CREATE INDEX closings_unfilled ON reporting.closings (store_id, closing_id) WHERE currency IS NULL")
    op.execute("""
        CREATE INDEX corrections_unfilled ON reporting.corrections (store_id, correction_id)
         WHERE needs_review IS NULL
    """)
    for name, columns in (
        ("closings_of_number", "store_id, z_number, closed_at, closing_id"),
        ("closings_of_session_number", "store_id, session_number, closed_at, closing_id"),
        ("closings_to_review", "closed_at, store_id, closing_id) WHERE (needs_review"),
        ("closings_over_or_short", "store_id, closed_at, closing_id) WHERE (over_short_now_minor <> 0"),
        ("closings_of_business_date",
         "store_id, business_date) INCLUDE (currency, profile_id, opened_by, opened_by_name, over_short_now_minor"),
    ):  # fmt: skip
        op.execute(f"CREATE INDEX {name} ON reporting.closings ({columns})")
    op.execute("CREATE INDEX closings_of_people ON reporting.closings USING gin (people)")
