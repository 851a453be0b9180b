"""The book's instruction set taught to SmolLM2: the loss, and what it answers before and after.

The split is the book's, in order: 935 to learn from, 110 to measure the loss on, 55 to answer. The job's own code
runs, in this process: `python bench/instruct.py instruction-data.json`. Prints a line of JSON a stage; answers go to
`--answers`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from app.llm.data.dialogues import dialogue_of
from app.llm.data.examples import cut
from app.llm.data.taught import TaughtIds
from app.llm.evaluate import write_greedily
from app.llm.model.transformer import Transformer
from app.llm.tokenizer import gguf_bpe
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.config import InstructConfig
from app.llm.train.instruct import Instructing
from app.llm.train.loop import Report, TrainState, train
from app.llm.weights.gguf import load_gguf, read_metadata
from app.services.dialogue_ids import DialogueEncoder
from app.services.prompt_templates import chosen

ASSETS = Path(sys.prefix) / "share" / "inkling"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
NEW_TOKENS = 60
CONTEXT = 1024


class Told:
    """Prints each evaluation."""

    def __init__(self) -> None:
        self.losses: dict[int, float] = {}
        self._began = time.monotonic()

    def check(self) -> None: ...

    def on_report(self, report: Report) -> None:
        if report.val_loss is not None:
            self.losses[report.step] = report.val_loss
            tell(step=report.step, val_loss=round(report.val_loss, 4), seconds=round(time.monotonic() - self._began))

    def on_sample(self, step: int, text: str) -> None: ...

    def on_early_stop(self, best: object) -> None: ...

    def on_checkpoint(self, state: TrainState) -> None: ...


def tell(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def token_f1(answer: str, wanted: str) -> float:
    """Harmonic mean of precision and recall of words, as SQuAD counts them, articles kept."""
    ours, theirs = words(answer), words(wanted)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs)) if shared else float(ours == theirs)


def answers(model: Transformer, tokenizer: Tokenizer, rows: Sequence[TaughtIds]) -> list[str]:
    model.eval()
    found = []
    for row in rows:
        written = write_greedily(model, row.ids[: row.prompt_length], NEW_TOKENS, stop_id=tokenizer.eos_id)
        found.append(tokenizer.decode(written).strip())
    return found


def scores(given: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
    pairs = list(zip(given, wanted, strict=True))
    exact = sum(words(ours) == words(theirs) for ours, theirs in pairs) / len(pairs)
    return {"exact_match": round(exact, 4), "token_f1": round(sum(token_f1(*pair) for pair in pairs) / len(pairs), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--template", default="chat", choices=["alpaca", "phi3", "chat"])
    parser.add_argument("--trainable", default="all", choices=["all", "last_block"])
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--answers", type=Path, default=Path(".bench") / "answers.json")
    asked = parser.parse_args()

    path = ASSETS / MODEL
    data = read_metadata(path)
    tokenizer = gguf_bpe.from_vocabulary(data.tokens, data.token_types, data.merges, data.pre, data.eos_id)
    template = chosen(asked.template, data.chat_template, tokenizer)
    encoder = DialogueEncoder(template.template(tokenizer), CONTEXT)
    rows = json.loads(asked.data.read_text())
    taught = [encoder.ids(dialogue_of(row, number, template.joint)) for number, row in enumerate(rows, start=1)]
    parts = cut(list(zip(taught, rows, strict=True)), 0.85, 0.1)
    learnt, measured, answered = ([ids for ids, _ in part] for part in parts)
    wanted = [row["output"] for _, row in parts.rest]
    torch.manual_seed(123)
    model = load_gguf(path)
    config = InstructConfig(
        epochs=asked.epochs, learning_rate=asked.rate, trainable=asked.trainable, precision=asked.precision,
        eval_every=117, sample_every=10**6, checkpoint_every=10**6,
    )  # fmt: skip
    tell(learnt=len(learnt), measured=len(measured), answered=len(answered), config=asdict(config))
    before = answers(model, tokenizer, answered)
    tell(before=scores(before, wanted))
    model.train()
    model.requires_grad_(True)
    task = Instructing(model, config, (learnt, measured), 123, lambda _check: "")
    heard = Told()
    train(task, config.with_steps(config.steps(len(task.batches))), heard)
    after = answers(model, tokenizer, answered)
    first, *_, last = heard.losses.values()
    tell(after=scores(after, wanted), loss_before=first, loss_after=last, share=round(last / first, 4))
    asked.answers.parent.mkdir(parents=True, exist_ok=True)
    told = [{"wanted": w, "before": b, "after": a} for w, b, a in zip(wanted, before, after, strict=True)]
    asked.answers.write_text(json.dumps(told, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
