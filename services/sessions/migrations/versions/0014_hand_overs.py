"""Who has the drawer of a session: its latest hand-over, found without reading its journal."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; a command of another kind never touches it.

    The whole journal is read for it, and not written meanwhile. The locks of the migrations before, which are of the
    same transaction, are held as long: the gateway's reads wait, or fail with 503 after some seconds.
    """
    op.execute("""
        CREATE INDEX journal_hand_overs ON journal (store_id, session_id, sequence)
         WHERE kind = 'session_handed_over'
    """)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
