"""When the reader learnt of each closing and correction, and the key that tickets of streams are signed with."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds both; what was learnt before counts as learnt now, in the order of the topic."""
    for table in ("closings", "corrections"):
        # The beginning of the transaction, one for all that is stored with an offset. No table is written anew.
        op.execute(f"ALTER TABLE reporting.{table} ADD COLUMN learnt_at timestamptz NOT NULL DEFAULT now()")
    op.execute("""
        CREATE TABLE reporting.ticket_key (
            single boolean NOT NULL DEFAULT true,
            key  bytea   NOT NULL,
            CONSTRAINT ticket_key_pkey PRIMARY KEY (single),
            CONSTRAINT ticket_key_is_the_only_one CHECK (single),
            CONSTRAINT ticket_key_is_long CHECK (octet_length(key) = 32)
        )
    """)
