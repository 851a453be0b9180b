"""metrics: memory, the share of the machine's peak, the time left, shares of the step

Revision: 0010, after: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BYTES = ("memory_bytes", "device_memory_bytes")
NUMBERS = ("peak_share", "seconds_left", "data_share", "report_share")


def upgrade() -> None:
    for name in BYTES:
        op.add_column("metrics", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in NUMBERS:
        op.add_column("metrics", sa.Column(name, sa.Double(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("metrics", schema=None) as batch_op:
        for name in (*NUMBERS, *BYTES):
            batch_op.drop_column(name)
