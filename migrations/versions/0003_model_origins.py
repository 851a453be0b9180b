"""where a model comes from: its source, licence, origin, datasets and ancestors

Revision: 0003, after: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.add_column(sa.Column("source", sa.String(), nullable=False, server_default="job"))
        batch_op.add_column(sa.Column("licence", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("origin", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("datasets", sa.JSON(none_as_null=True), nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("ancestors", sa.JSON(none_as_null=True), nullable=False, server_default="[]"))


def downgrade() -> None:
    with op.batch_alter_table("models", schema=None) as batch_op:
        for name in ("ancestors", "datasets", "origin", "licence", "source"):
            batch_op.drop_column(name)
