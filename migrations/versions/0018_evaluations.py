"""evaluations: what a job measures, its judge's key, and what was found for each row

Revision: 0018, after: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("evaluate", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("judge_key", sa.String(), nullable=True))
    op.create_table(
        "results",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("row", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("prompt", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("figures", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("judgements", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_results_job_id_jobs", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.UniqueConstraint("job_id", "row", "place", name="uq_results_job_id"),
    )


def downgrade() -> None:
    op.drop_table("results")
    op.drop_column("jobs", "judge_key")
    op.drop_column("jobs", "evaluate")
