"""Runs on the connection that app.db.migrate hands over, or, from the alembic command, on the settings' database."""

from alembic import context
from sqlalchemy import Connection

from app.config import get_settings
from app.db.base import Base
from app.db.session import Database
from app.db.tables import api_key, checkpoint, dataset, event, job, metric, model, result, tokenizer, webhook, worker  # noqa: F401 - fills the metadata


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    with Database(get_settings().effective_database_url).connect() as opened:
        run(opened)
