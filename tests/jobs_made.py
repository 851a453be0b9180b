"""Jobs and datasets for tests, written straight to the database."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.session import Database
from app.db.tables.dataset import DatasetRow
from app.db.tables.job import JobRow
from app.db.tables.model import ModelRow


def a_job(session: Session, **fields: Any) -> JobRow:
    """A queued job that nothing has touched; `fields` stand over the defaults."""
    job_id = fields.get("id", new_id("job"))
    row = JobRow(
        **{
            "id": job_id,
            "recipe": "pretrain",
            "name": f"model-of-{job_id}",
            "status": "queued",
            "datasets": [{"dataset": "ds_1", "weight": 1.0}],
            "model": {"preset": "gpt-tiny"},
            "tokenizer": "gpt2",
            "validation": {"fraction": 0.1},
            "train": {"max_steps": 10},
            "device": "auto",
            "devices": 1,
            "priority": 0,
            "seed": 1,
        }
        | fields
    )
    session.add(row)
    session.flush()
    return row


def queued(database: Database, **fields: Any) -> str:
    """The id of a new queued job."""
    with database.write() as session:
        return a_job(session, **fields).id


def a_dataset(session: Session, dataset_id: str = "ds_1", **fields: Any) -> DatasetRow:
    row = DatasetRow(
        **{
            "id": dataset_id,
            "name": "text.txt",
            "kind": "text",
            "format": "txt",
            "source": "upload",
            "size_bytes": 1,
            "characters": 1,
            "sha256": "0" * 64,
            "report": {},
        }
        | fields
    )
    session.add(row)
    session.flush()
    return row


def a_model(name: str, **fields: Any) -> ModelRow:
    """The row of a registered model whose files are nowhere."""
    return ModelRow(
        **{
            "name": name,
            "family": "gpt2",
            "config": {"vocab_size": 280, "context_length": 8, "emb_dim": 4, "n_heads": 1, "n_layers": 1},
            "tokenizer": "gpt2",
            "parameters": 1,
            "size_bytes": 1,
            "sha256": "0" * 64,
        }
        | fields
    )
