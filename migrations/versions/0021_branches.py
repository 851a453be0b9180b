"""branches: generated texts that leave one another at a token, as trees

Revision: 0021, after: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "branches",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tree", sa.String(), nullable=False),
        sa.Column("parent_id", sa.String(), nullable=True),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("opening", sa.String(), nullable=False),
        sa.Column("excerpt", sa.String(), nullable=False),
        sa.Column("sampling", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("finish_reason", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("asked", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("tokens", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["branches.id"], name="fk_branches_parent_id_branches", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_branches"),
    )
    op.create_index("ix_branches_tree", "branches", ["tree"])
    op.create_index("ix_branches_parent_id", "branches", ["parent_id"])


def downgrade() -> None:
    op.drop_table("branches")
