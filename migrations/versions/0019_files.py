"""files of /v1: what a dataset was sent for, the size of the file as it was sent, and what a client notes on a job

Revision: 0019, after: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("purpose", sa.String(), nullable=False, server_default="fine-tune"))
    op.add_column("datasets", sa.Column("original_bytes", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("client_metadata", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "client_metadata")
    op.drop_column("datasets", "original_bytes")
    op.drop_column("datasets", "purpose")
