"""paused jobs: whether a running one is to pause; a paused one keeps the name of its model

Revision: 0004, after: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Each of these is done in place: a table of jobs that is made anew would take its checkpoints' rows with it.
    op.add_column("jobs", sa.Column("pause_requested", sa.Boolean(), nullable=False, server_default=sa.false()))
    _live("'queued', 'running', 'paused'")


def downgrade() -> None:
    op.execute("UPDATE jobs SET status = 'queued' WHERE status = 'paused'")
    _live("'queued', 'running'")
    op.drop_column("jobs", "pause_requested")


def _live(statuses: str) -> None:
    live = sa.text(f"status IN ({statuses})")
    op.drop_index("uq_jobs_live_name", "jobs")
    op.create_index("uq_jobs_live_name", "jobs", ["name"], unique=True, sqlite_where=live, postgresql_where=live)
