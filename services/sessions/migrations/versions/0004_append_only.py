"""What was written into the books stays: nobody changes or deletes a journal row, a closing or a correction."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Rights alone would let the owner through, and the superuser, and whoever borrows their password for an afternoon.
# Both can still switch a trigger off: that is a statement of its own, which audits see, and `till verify` finds what
# was done meanwhile.
FUNCTION = """
    CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% refused: rows of % are only ever added', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END
    $$
"""
# By statement, not by row: a truncation has no rows, and an insertion pays nothing.
TRIGGER = """
    CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""


def upgrade() -> None:
    """Guard the three tables."""
    op.execute(FUNCTION)
    for table in ("journal", "closings", "corrections"):
        op.execute(TRIGGER.format(table=table))


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
