"""metrics: the loss of training batches in evaluation mode

Revision: 0011, after: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("metrics", sa.Column("train_loss", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("metrics", "train_loss")
