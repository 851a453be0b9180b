"""*SMS Spam* told apart by networks of four kinds: how much of what is held out each tells rightly, and in what time.

    python -m bench.spam SMSSpamCollection.tsv [--only last-block,lora,scratch,random]

747 + 747 messages, 70/10/20 by the seed, as jobs of `inkling up` on an empty data directory, one after the other.
SmolLM2-135M-Instruct learns its last block and head, or adapters; a small GPT and one of 124M begin at random.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from pathlib import Path
from typing import Any

import httpx

from app.llm.data.labelled import read_labelled
from bench.processes import started

SMOLLM2 = "smollm2-135m-instruct"
SEED = 123
JOBS: dict[str, dict[str, Any]] = {
    "last-block": {"model": SMOLLM2, "train": {"trainable": "last_block"}},
    "lora": {"model": SMOLLM2, "train": {"lora": {}, "learning_rate": 5e-4, "epochs": 2}},
    "scratch": {
        "model": {"preset": "gpt-mini"},
        "tokenizer": "gpt2",
        "train": {"trainable": "all", "learning_rate": 5e-4, "epochs": 10},
    },
    "random": {
        "model": {"preset": "gpt2-124m", "context_length": 256},
        "tokenizer": "gpt2",
        "train": {"trainable": "all"},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("messages", type=Path, help="label, tab, text; the UCI repository's file")
    parser.add_argument("--only", default=",".join(JOBS))
    options = parser.parse_args()
    with (
        started("up") as (url, _),
        httpx.Client(base_url=url, timeout=120) as client,
        options.messages.open(encoding="utf-8", newline="") as lines,
    ):
        table = as_csv((row.text, row.label) for row in read_labelled(lines, "\t", quotes=True))
        file = ("sms-spam.csv", table.encode(), "text/csv")
        dataset = call(client, "POST", "/datasets", files={"file": file})["id"]
        for name in options.only.split(","):
            tell(client, name, dataset)


def as_csv(rows: Any) -> str:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([("text", "label"), *rows])
    return table.getvalue()


def tell(client: httpx.Client, name: str, dataset: str) -> None:
    asked = JOBS[name]
    train = {"balanced": True, "epochs": 5} | asked["train"]
    body = {"recipe": "classify", "dataset": dataset, "name": name, "seed": SEED, "validation": 0.1, "test": 0.2}
    began = time.monotonic()
    job = call(client, "POST", "/jobs", json=body | asked | {"train": train})["id"]
    while (row := call(client, "GET", f"/jobs/{job}"))["status"] not in ("succeeded", "failed", "cancelled"):
        time.sleep(1)
    if row["status"] != "succeeded":
        raise RuntimeError(f"{name} ended as {row['status']}: {row['error']}")
    accuracies = call(client, "GET", f"/jobs/{job}/report")["accuracies"]
    shares = ", ".join(f"{part} {share:.2%}" for part, share in accuracies.items())
    print(f"{name}: {shares}; {(time.monotonic() - began) / 60:.1f} min", flush=True)


def call(client: httpx.Client, method: str, path: str, **body: Any) -> dict[str, Any]:
    answer = client.request(method, path, **body)
    if answer.is_error:
        raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
    told: dict[str, Any] = answer.json()
    return told


if __name__ == "__main__":
    main()
