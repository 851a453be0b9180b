"""jobs in `validating_files` keep the name of their model, as all unfinished ones do

Revision: 0012, after: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _live("'validating_files', 'queued', 'running', 'paused'")


def downgrade() -> None:
    op.execute("UPDATE jobs SET status = 'queued', lease_until = NULL WHERE status = 'validating_files'")
    _live("'queued', 'running', 'paused'")


def _live(statuses: str) -> None:
    live = sa.text(f"status IN ({statuses})")
    op.drop_index("uq_jobs_live_name", "jobs")
    op.create_index("uq_jobs_live_name", "jobs", ["name"], unique=True, sqlite_where=live, postgresql_where=live)
