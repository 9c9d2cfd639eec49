"""Subjects whose tokens count no longer, whoever signed them and however long they would still live."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# In the ledger's schema, because the ledger's transaction reads it: what a command was answered must not depend on
# when another service heard of a revocation. `store_id` is * for a subject that is revoked in every store.
# A subject that was let in again comes with tokens that were issued since; the old ones stay worthless.
UPGRADE = """
    CREATE TABLE revocations (
        store_id text NOT NULL,
        sub text NOT NULL,
        revoked_at timestamptz NOT NULL,
        restored_at timestamptz,
        CONSTRAINT revocations_pkey PRIMARY KEY (store_id, sub),
        CONSTRAINT revocations_end_after_they_begin CHECK (restored_at >= revoked_at)
    )
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(UPGRADE)


def downgrade() -> None:
    """There is no way back: forgetting a revocation would let a thief in again."""
    raise NotImplementedError("Revocations are not dropped by a migration; restore a backup instead.")
