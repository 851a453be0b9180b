"""The message of a job's end, written in the transaction that ends it. Knows no network."""

from __future__ import annotations

import json
import time

from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.tables.job import JobRow
from app.db.tables.webhook import WebhookRow


def announce(session: Session, row: JobRow) -> None:
    """Have the end of a job told to its webhook, if it has one."""
    if row.webhook_url is None:
        return
    message_id = new_id("msg")
    body = {
        "id": message_id,
        "type": f"job.{row.status}",
        "created_at": int(time.time()),
        "data": {
            "id": row.id,
            "name": row.name,
            "recipe": row.recipe,
            "status": row.status,
            "step": row.step,
            "total_steps": row.total_steps,
            "error": row.error,
            "result": None
            if row.result_model is None and not (row.evaluate and row.status == "succeeded")
            else {"model": row.result_model, "checkpoint": row.result_checkpoint},
        },
    }
    session.add(
        WebhookRow(id=message_id, job_id=row.id, url=row.webhook_url, secret=row.webhook_secret, body=json.dumps(body))
    )
