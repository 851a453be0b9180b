"""The book's training runs of the 124M network, on our network and our loop (chapter 5, appendix D).

Their numbers rest on torch's generator: starting weights, dropout and the loader's orders are drawn from it, in the
book's order. The first steps are checked always; whole runs are proofs (`make proof-book`), which take an hour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.llm.data.windows import Batches, Windows
from app.llm.evaluate import write_greedily
from app.llm.model.book_start import book_network
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.tiktoken_data import load
from app.llm.train.config import TrainConfig
from app.llm.train.early_stop import Best
from app.llm.train.loop import Report, TrainState, train
from app.llm.train.pretrain import Pretraining
from app.services.job_data import Data
from app.services.pretraining import book_data
from app.services.train_presets import TRAIN_PRESETS
from tests.book_gpt import GPT_124M, LoadedBatches, Trace
from tests.proofs import Proof, table

PROMPT = "Every effort moves you"
NEVER = 1 << 20  # of things that fall due at the end alone


@dataclass(frozen=True)
class Book:
    """The story as chapter 5 splits it."""

    tokenizer: Tokenizer
    train: Sequence[Any]
    validation: Sequence[Any]


@pytest.fixture(scope="module")
def book(verdict: str, assets: Path) -> Book:
    return make_book(verdict, load("gpt2", assets / "tiktoken"), GPT_124M.context_length)


def make_book(text: str, tokenizer: Tokenizer, length: int) -> Book:
    cut = int(0.9 * len(text))
    parts = (Windows(torch.tensor(tokenizer.encode(part)), length, length) for part in (text[:cut], text[cut:]))
    return Book(tokenizer, *parts)


def constant(rate: float, steps: int, **changes: Any) -> TrainConfig:
    """Chapter 5's training: one rate from first to last, no clipping."""
    settings = dict(max_steps=steps, learning_rate=rate, min_learning_rate=rate, grad_clip=None, sample_tokens=50)
    return TrainConfig(**{"eval_every": NEVER, "sample_every": NEVER, "checkpoint_every": NEVER, **settings, **changes})


class Run:
    """One of the book's runs: the network as it starts, loaders, what is told."""

    def __init__(self, book: Book, batch_size: int, every: int, batches: int) -> None:
        self.model = book_network(GPT_124M)
        self._book = book
        self._train = LoadedBatches(book.train, batch_size, shuffle=len(book.train) > 1)
        validation = LoadedBatches(book.validation, batch_size, shuffle=False)
        self.trace = Trace(self.model, every, batches, self._train, validation, self._loss)

    def go(self, config: TrainConfig) -> None:
        """Run `config.max_steps`."""
        train(Pretraining(self.model, config, self._train, None, self._write), config, self.trace)

    @torch.no_grad()
    def loss_of(self, windows: Windows) -> float:
        """Mean loss over all of them, in evaluation mode."""
        self.model.eval()
        batches = Batches(windows, 2, seed=None)
        return sum(self._loss(batches[step]).item() for step in range(len(batches))) / len(batches)

    def _loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        inputs, targets = batch
        return F.cross_entropy(self.model(inputs).flatten(0, 1), targets.flatten())

    def _write(self, check: Callable[[], None]) -> str:
        tokenizer = self._book.tokenizer
        ids = tokenizer.encode(PROMPT)
        return tokenizer.decode(ids + write_greedily(self.model, ids, 50, check=check)).replace("\n", " ")


class PresetRun:
    """One of the book's runs by the code that a job of its preset runs; it is its own listener."""

    def __init__(self, book: Book, preset: str) -> None:
        chosen = TRAIN_PRESETS[preset]
        self._settings = {name: value for name, value in chosen.train.items() if name != "epochs"}
        self._book = book
        torch.manual_seed(chosen.seed)
        self.model = book_network(GPT_124M)
        self.rows: list[tuple[int, float, float]] = []  # step from 0, train loss, validation loss
        self.samples: list[str] = []
        self._state: TrainState | None = None

    def go(self, steps: int, reseed: bool = False) -> None:
        """Run to `steps`; with `reseed`, go on from the last state, with a new seed as exercise 5.4 does."""
        config = TrainConfig(**self._settings, max_steps=steps, checkpoint_every=NEVER)
        parts = (Batches(part, config.batch_size, seed=0) for part in (self._book.train, self._book.validation))
        data = book_data(Data(*parts), config)
        task = Pretraining(self.model, config, data.train, data.validation, self._write)
        resume = self._state if reseed else None
        if resume is not None:
            resume = replace(resume, rng=dict(resume.rng) | {"cpu": torch.Generator().manual_seed(123).get_state()})
        train(task, config, self, resume)

    def check(self) -> None: ...

    def on_report(self, report: Report) -> None:
        if report.step % self._settings["eval_every"] == self._settings["eval_offset"]:
            assert report.train_loss is not None
            assert report.val_loss is not None
            self.rows.append((report.step - 1, report.train_loss, report.val_loss))

    def on_sample(self, step: int, text: str) -> None:
        self.samples.append(text)

    def on_early_stop(self, best: Best) -> None: ...

    def on_checkpoint(self, state: TrainState) -> None:
        self._state = state

    def _write(self, check: Callable[[], None]) -> str:
        tokenizer = self._book.tokenizer
        ids = tokenizer.encode(self._settings["sample_prompt"])
        return tokenizer.decode(ids + write_greedily(self.model, ids, 50, check=check)).replace("\n", " ")


def test_the_story_is_split_as_in_the_book(golden, book):
    expected = golden("ch05.split")["expected"]
    assert [len(book.train), len(book.validation)] == [expected["train_windows"], expected["val_windows"]]
    batches = [
        Batches(part, golden("ch05.split")["inputs"]["batch"], seed=123) for part in (book.train, book.validation)
    ]
    assert [len(part) for part in batches] == [expected["train_batches"], expected["val_batches"]]
    tokens = [sum(part[step][0].numel() for step in range(len(part))) for part in batches]
    assert tokens == [expected["tokens_in_train_batches"], expected["tokens_in_val_batches"]]


def test_the_network_is_the_books(golden, book):
    """Chapter 4's logits: the starting weights are drawn in the book's order."""
    fact = golden("ch04.gpt.logits.eval")
    torch.manual_seed(fact["inputs"]["seed"])
    model = book_network(replace(GPT_124M, context_length=1024)).eval()
    ids = torch.tensor([book.tokenizer.encode(text) for text in ("Every effort moves you", "Every day holds a")])
    with torch.no_grad():
        logits = model(ids)
    ends = torch.cat((logits[..., :3], logits[..., -3:]), dim=-1)
    torch.testing.assert_close(ends, torch.tensor(fact["expected"]), atol=fact["tolerance"], rtol=0)


def test_chapter_5_begins_as_in_the_book(golden, book):
    """Losses of the fresh network, and of the network after its first update."""
    fact = golden("ch05.initial_losses")
    torch.manual_seed(fact["inputs"]["seed"])
    run = Run(book, batch_size=2, every=5, batches=5)
    for name, part in (("train", book.train), ("val", book.validation)):
        assert run.loss_of(part) == pytest.approx(fact["expected"][name], abs=fact["tolerance"])
    begun = PresetRun(book, "book-ch05")
    begun.go(1)
    first = golden("ch05.train.cpu")["expected"][0]
    assert begun.rows[0] == pytest.approx(first, abs=golden("ch05.train.cpu")["tolerance"]["strict"])


def test_the_largest_slope_is_appendix_ds(golden, book):
    """On the batch that its notebook is left with after two times fifteen epochs, before and after clipping at 1."""
    torch.manual_seed(123)
    model = book_network(GPT_124M)
    inputs, targets = Batches(book.train, 2, seed=123)[30 * 9 - 1]
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    norm = torch.stack([gradient.norm() for gradient in gradients]).norm().item()
    largest = max(gradient.max().item() for gradient in gradients)
    known = golden("appD.clip.max")["expected"]["cpu_torch_2.5.1"]
    assert [largest, largest / norm] == pytest.approx(known, rel=0.01)


@pytest.mark.parametrize(
    ("fact", "names", "every", "config"),
    [
        ("ch05.train.smoke", ("train_loss_first_rounded1", "val_loss_first_rounded1"), 1, dict(rate=5e-4, steps=2)),
        (
            "appD.smoke",
            ("train_rounded1", "val_rounded1"),
            5,
            dict(rate=1e-3, steps=6, min_learning_rate=1e-5, warmup_steps=1, grad_clip=1.0),
        ),
    ],
)
def test_the_books_own_smoke_tests(golden, book, fact, names, every, config):
    """One window is learnt over and over."""
    known = golden(fact)
    torch.manual_seed(known["inputs"]["seed"])
    run = Run(Book(book.tokenizer, [book.train[0]], [book.validation[0]]), batch_size=1, every=every, batches=1)
    run.go(constant(**config))
    first, *_, last = run.trace.rows
    assert [round(loss, 1) for loss in first[1:]] == [known["expected"][name] for name in names]
    assert last[1] < first[1]


@pytest.mark.proof
@pytest.mark.timeout(4 * 3600)
def test_ten_epochs_of_chapter_5_and_an_eleventh(golden, book):
    proof, expected = Proof(), golden("ch05.train.cpu")["expected"]
    run = PresetRun(book, "book-ch05")
    run.go(90)
    rows, texts = list(run.rows), list(run.samples)
    known = golden("ch05.train.cpu.text")["expected"]
    proof.record(
        "ch05.train.cpu",
        "Ten epochs of chapter 5: the 124M network on *The Verdict*, AdamW, rate 4e-4, batches of 2, seed 123.",
        table(("step", "train", "book", "validation", "book"), _beside(rows, expected)),
    )
    proof.record(
        "ch05.train.cpu.text",
        "What the network of that run writes after its first and its last epoch.",
        *(f"After epoch {n}: `{texts[n - 1]}` (the book: `{known[f'epoch{n}']}`)." for n in (1, 10)),
    )
    run.go(99, reseed=True)
    more = [[step, *golden("ch05.continue")["expected"][f"step{step}"].values()] for step in (0, 5)]
    rows_more = [(step - 90, *losses) for step, *losses in run.rows[len(rows) :]]
    proof.record(
        "ch05.continue",
        "Exercise 5.4: an eleventh epoch with the seed set again. The book's figures come from another first run.",
        table(("step", "train", "book", "validation", "book"), _beside(rows_more, more)),
    )
    assert [row[0] for row in rows] == [row[0] for row in expected]
    for ours, theirs in zip(rows, expected, strict=True):
        assert ours[1:] == pytest.approx(theirs[1:], abs=0.005), f"step {ours[0]}"
    assert texts[0] == known["epoch1"]
    assert all(0.1 < row[1] < 0.5 and 6.0 < row[2] < 7.0 for row in rows_more)


@pytest.mark.proof
@pytest.mark.timeout(4 * 3600)
def test_fifteen_epochs_of_appendix_d(golden, book):
    """Ours clips from the first step on, the book's from the end of the warm-up on."""
    proof, expected = Proof(), golden("appD.train")["expected"]
    run = PresetRun(book, "book-appd")
    run.go(135)
    rows = {row[0]: row for row in run.rows}
    proof.record(
        "appD.train",
        "Fifteen epochs of appendix D: warm-up over 27 steps to 1e-3, cosine down to 1e-5, clipping at 1, seed 123. "
        "Ours clips from the first step on, the book's from the end of the warm-up on.",
        table(("step", "train", "book", "validation", "book"), _beside([rows[row[0]] for row in expected], expected)),
        f"At the end it writes: `{run.samples[-1]}`.",
    )
    assert rows[0][1:] == pytest.approx(expected[0][1:], abs=0.02)
    assert all(rows[step][1] < 0.5 for step in range(75, 135, 5))


def _beside(ours: list[Any], book: list[Any]) -> list[tuple[int, float, float, float, float]]:
    return [(a[0], a[1], b[1], a[2], b[2]) for a, b in zip(ours, book, strict=True)]
