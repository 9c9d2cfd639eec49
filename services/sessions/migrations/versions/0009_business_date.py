"""The business day of a session as a column, and the orders in which sessions are listed as indexes."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# A worker of the version before writes no day: it is read from the opening then, whose member it is, as it is for the
# sessions that are there. Whoever gives a day pays nothing for this.
FUNCTION = """
    CREATE FUNCTION session_business_date() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.business_date := (convert_from(NEW.opening, 'UTF8')::jsonb ->> 4)::date;
        RETURN NEW;
    END
    $$
"""
TRIGGER = """
    CREATE TRIGGER business_date_of_opening BEFORE INSERT ON sessions
        FOR EACH ROW WHEN (NEW.business_date IS NULL) EXECUTE FUNCTION session_business_date()
"""
# A list is in the order of store, profile and ordinal, whatever is asked for: each index goes through it for one state,
# or for one state of one day. Lists of a day in any state merge these.
INDEXES = (
    "CREATE INDEX sessions_by_state ON sessions (state, store_id, profile_id, ordinal)",
    "CREATE INDEX sessions_by_day ON sessions (business_date, state, store_id, profile_id, ordinal)",
)


def upgrade() -> None:
    """Add the day and fill it: every session is written once, three minutes a million on a busy machine."""
    op.execute("ALTER TABLE sessions ADD COLUMN business_date date")
    op.execute("UPDATE sessions SET business_date = (convert_from(opening, 'UTF8')::jsonb ->> 4)::date")
    # The update's foreign key checks must be done before the table can be altered.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("ALTER TABLE sessions ALTER COLUMN business_date SET NOT NULL")
    op.execute(FUNCTION)
    op.execute(TRIGGER)
    for index in INDEXES:
        op.execute(index)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
