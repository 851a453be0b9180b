"""jobs, models and tokenizers: the key whose they are; a key's idempotency keys are its own

Revision: 0025, after: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

_IS_NOBODYS = sa.text("owner IS NULL")


def upgrade() -> None:
    for table in ("jobs", "models", "tokenizers"):
        op.add_column(table, sa.Column("owner", sa.String(), nullable=True))
    op.drop_index("uq_jobs_idempotency_key", "jobs")
    op.create_index("uq_jobs_idempotency_key", "jobs", ["owner", "idempotency_key"], unique=True)
    op.create_index(
        "uq_jobs_nobodys_idempotency_key",
        "jobs",
        ["idempotency_key"],
        unique=True,
        sqlite_where=_IS_NOBODYS,
        postgresql_where=_IS_NOBODYS,
    )


def downgrade() -> None:
    op.drop_index("uq_jobs_nobodys_idempotency_key", "jobs")
    op.drop_index("uq_jobs_idempotency_key", "jobs")
    # Two owners may have used one key: with all jobs in one room again, none of these keys is to be found.
    op.execute("UPDATE jobs SET idempotency_key = NULL, request_sha256 = NULL WHERE owner IS NOT NULL")
    op.create_index("uq_jobs_idempotency_key", "jobs", ["idempotency_key"], unique=True)
    for table in ("tokenizers", "models", "jobs"):
        op.drop_column(table, "owner")
