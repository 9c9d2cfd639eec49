"""The place on the topic of every closing and correction, by which a stream is followed."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the places and empties the tables: the reader fills them again from the topic, which is kept for ever."""
    op.execute("TRUNCATE reporting.closings, reporting.corrections, reporting.unreadable, reporting.consumed")
    for table in ("closings", "corrections"):
        op.execute(f"""
            ALTER TABLE reporting.{table}
                ADD COLUMN topic       text   NOT NULL,
                ADD COLUMN "partition" int    NOT NULL,
                ADD COLUMN "offset"    bigint NOT NULL
        """)
        op.execute(f"""
            CREATE INDEX {table}_by_place
                ON reporting.{table} (topic, "partition", "offset")
        """)
    # A token for every store looks a closing up without one.
    op.execute("""
        CREATE INDEX closings_by_id_everywhere
            ON reporting.closings (closing_id)
    """)
