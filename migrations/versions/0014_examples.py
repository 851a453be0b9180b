"""jobs that learn from rows: which columns, a recipe's own figures at each step, and a report on what was held out

Revision: 0014, after: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("columns", sa.JSON(none_as_null=True), nullable=False, server_default="{}"))
    op.add_column("jobs", sa.Column("report", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("models", sa.Column("report", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("metrics", sa.Column("figures", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("metrics", "figures")
    op.drop_column("models", "report")
    op.drop_column("jobs", "report")
    op.drop_column("jobs", "columns")
