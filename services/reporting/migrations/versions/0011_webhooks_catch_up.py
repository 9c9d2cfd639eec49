"""A webhook that was put to an older cursor is behind because somebody asked for it: it waits from then on."""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Adds the time from which such a one waits; those that there are have caught up or wait by their records."""
    op.execute("ALTER TABLE webhooks.endpoints ADD COLUMN waits_from timestamptz")
    # Until it has all: when it was put there, or last got something.
    op.execute("ALTER TABLE webhooks.endpoints ALTER COLUMN waits_from SET DEFAULT now()")
