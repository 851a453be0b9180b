"""own tokenizers: byte-pair ones have no version; special tokens and the bytes that were read

Revision: 0002, after: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("tokenizers", schema=None) as batch_op:
        batch_op.alter_column("version", existing_type=sa.Integer(), nullable=True)
        batch_op.add_column(sa.Column("special_tokens", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("trained_bytes", sa.BigInteger(), nullable=True))
    # All that were made before are the book's word tokenizers.
    op.execute("UPDATE tokenizers SET special_tokens = '[]' WHERE version = 1")
    op.execute("""UPDATE tokenizers SET special_tokens = '["<|endoftext|>", "<|unk|>"]' WHERE version = 2""")
    with op.batch_alter_table("tokenizers", schema=None) as batch_op:
        batch_op.alter_column("special_tokens", existing_type=sa.JSON(none_as_null=True), nullable=False)


def downgrade() -> None:
    op.execute("DELETE FROM tokenizers WHERE kind <> 'word'")  # the earlier service could not read them
    with op.batch_alter_table("tokenizers", schema=None) as batch_op:
        batch_op.drop_column("trained_bytes")
        batch_op.drop_column("special_tokens")
        batch_op.alter_column("version", existing_type=sa.Integer(), nullable=False)
