"""jobs can be deleted: the model that one has made stays, and knows no job any more

Revision: 0006, after: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = "fk_models_job_id_jobs"


def upgrade() -> None:
    _refer(ondelete="SET NULL")


def downgrade() -> None:
    _refer(ondelete=None)


def _refer(ondelete: str | None) -> None:
    with op.batch_alter_table("models", schema=None) as batch_op:  # made anew on SQLite; no other table refers to it
        batch_op.drop_constraint(NAME, type_="foreignkey")
        batch_op.create_foreign_key(NAME, "jobs", ["job_id"], ["id"], ondelete=ondelete)
