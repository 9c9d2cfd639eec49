"""Where wrong passwords come from, and where people sign in from."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UPGRADE = (
    # Rows of the version before have no address, and count for the name as they did.
    "ALTER TABLE gateway.failures ADD COLUMN address text NOT NULL DEFAULT ''",
    "ALTER TABLE gateway.failures ADD COLUMN at_known_address boolean NOT NULL DEFAULT false",
    "ALTER TABLE gateway.failures DROP CONSTRAINT failures_pkey",
    """
    ALTER TABLE gateway.failures
        ADD CONSTRAINT failures_pkey PRIMARY KEY (store_id, kind, name, failed_at, address)
    """,
    "CREATE INDEX failures_by_address ON gateway.failures (address, failed_at) WHERE NOT at_known_address",
    # Only who has given the right password gets a row: a few for each name, and none for names that nobody has.
    """
    CREATE TABLE gateway.known_addresses (
        store_id text NOT NULL,
        kind text NOT NULL,
        name text NOT NULL,
        address text NOT NULL,
        signed_in_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT known_addresses_pkey PRIMARY KEY (store_id, kind, name, address),
        CONSTRAINT known_addresses_kind_known CHECK (kind IN ('profile', 'user'))
    )
    """,
    "CREATE INDEX known_addresses_by_time ON gateway.known_addresses (signed_in_at)",
)


def upgrade() -> None:
    """Create the columns and the table."""
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back, as for the tables themselves."""
    raise NotImplementedError("What limits guessing is not dropped by a migration.")
