"""Closings and corrections as they were published, and how far the topic has been read."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes the tables of the first release."""
    op.execute("CREATE SCHEMA IF NOT EXISTS reporting")
    # `value` is the truth, byte for byte as on the topic; the columns beside it are for searching.
    op.execute("""
        CREATE TABLE reporting.closings (
            store_id      text        NOT NULL,
            closing_id    uuid        NOT NULL,
            session_id    uuid        NOT NULL,
            profile_id    text        NOT NULL,
            z_number      bigint      NOT NULL,
            closed_at     timestamptz NOT NULL,
            business_date date        NOT NULL,
            hash          text        NOT NULL,
            prev_hash     text        NOT NULL,
            value         bytea       NOT NULL,
            CONSTRAINT closings_pkey PRIMARY KEY (store_id, closing_id),
            CONSTRAINT closings_z_number_from_1 CHECK (z_number >= 1)
        )
    """)
    op.execute("""
        CREATE INDEX closings_by_closed_at
            ON reporting.closings (store_id, closed_at)
    """)
    # A token for every store searches without one.
    op.execute("""
        CREATE INDEX closings_by_closed_at_everywhere
            ON reporting.closings (closed_at)
    """)
    op.execute("""
        CREATE TABLE reporting.corrections (
            store_id          text        NOT NULL,
            correction_id     uuid        NOT NULL,
            closing_id        uuid        NOT NULL,
            session_id        uuid        NOT NULL,
            profile_id        text        NOT NULL,
            correction_number bigint      NOT NULL,
            correction        text        NOT NULL,
            received_at       timestamptz NOT NULL,
            value             bytea       NOT NULL,
            CONSTRAINT corrections_pkey PRIMARY KEY (store_id, correction_id),
            CONSTRAINT corrections_number_from_1 CHECK (correction_number >= 1)
        )
    """)
    op.execute("""
        CREATE INDEX corrections_by_closing
            ON reporting.corrections (store_id, closing_id, correction_number)
    """)
    # What could not be taken from the topic, so that somebody looks; the bytes are still there.
    op.execute("""
        CREATE TABLE reporting.unreadable (
            topic       text   NOT NULL,
            "partition" int    NOT NULL,
            "offset"    bigint NOT NULL,
            error       text   NOT NULL,
            CONSTRAINT unreadable_pkey PRIMARY KEY (topic, "partition", "offset")
        )
    """)
    op.execute("""
        CREATE TABLE reporting.consumed (
            topic       text   NOT NULL,
            "partition" int    NOT NULL,
            next_offset bigint NOT NULL,
            CONSTRAINT consumed_pkey PRIMARY KEY (topic, "partition"),
            CONSTRAINT consumed_offset_from_0 CHECK (next_offset >= 0)
        )
    """)
