"""The time zone of a shop, by which its trading days are told apart."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Which names there are changes with the tz database, and no row is ever checked against it.
UPGRADE = """
    ALTER TABLE profiles ADD COLUMN time_zone text
    CONSTRAINT profiles_time_zone_is_a_name CHECK (time_zone <> '' AND octet_length(time_zone) <= 64)
"""


def upgrade() -> None:
    """No shop has a zone yet: its registers say which day it is, as before."""
    op.execute(UPGRADE)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
