"""Analysts see all tax, tips in one currency, and minor units as whole numbers; an index finds what was voided."""

from alembic import op

from services.reporting.migrations.analyst_figures import make_anew

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Makes the views of figures anew; no closing is touched. The index reads the corrections once.

    The reader takes nothing meanwhile. Reads go on until the views are made; analysts' wait then until the end, which
    is that of later migrations that run with this one.
    """
    # A batch begins with its offsets, and what fills in the rows of before with corrections: nobody waits in a circle,
    # neither with this nor with the indexes of later migrations.
    op.execute("LOCK TABLE reporting.consumed IN EXCLUSIVE MODE")
    op.execute("LOCK TABLE reporting.corrections, reporting.closings IN SHARE MODE")
    op.execute("""
        CREATE INDEX corrections_voided ON reporting.corrections (store_id, closing_id)
         WHERE correction = 'session_voided'
    """)
    make_anew()
