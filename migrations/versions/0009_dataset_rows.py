"""datasets of rows: their number, their columns, and how the file was compressed

Revision: 0009, after: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("datasets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("compression", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("rows", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("columns", sa.JSON(none_as_null=True), nullable=False, server_default="[]"))


def downgrade() -> None:
    op.execute("DELETE FROM datasets WHERE rows IS NOT NULL")  # the earlier service would read them as texts
    for name in ("columns", "rows", "compression"):  # in place: a table made anew would lose what refers to it
        op.drop_column("datasets", name)
