"""webhooks: what a job's end is told to, and the outbox of messages

Revision: 0013, after: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("webhook_url", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("webhook_secret", sa.String(), nullable=True))
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("secret", sa.String(), nullable=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_due_at", "webhooks", ["due_at"])


def downgrade() -> None:
    op.drop_table("webhooks")
    op.drop_column("jobs", "webhook_secret")
    op.drop_column("jobs", "webhook_url")
