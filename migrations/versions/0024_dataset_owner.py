"""datasets: the key whose they are

Revision: 0024, after: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("owner", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("datasets", "owner")
