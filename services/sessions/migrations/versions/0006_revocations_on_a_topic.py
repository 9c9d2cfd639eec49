"""Revocations are told by the access topic; the table stays for pods of the version before."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The comment is how `till migrate` knows that the topic has what the table had; see services/operations/revocations.py.
UPGRADE = "COMMENT ON TABLE revocations IS 'On the access topic since; read by the version before alone.'"


def upgrade() -> None:
    """Note that the rows were put on the topic."""
    op.execute(UPGRADE)


def downgrade() -> None:
    """There is no way back: the topic has what the table never heard of."""
    raise NotImplementedError("Revocations are not put back into a table; restore a backup instead.")
