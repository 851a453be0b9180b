"""The process that tries a job's steps: what comes back when it is done, too slow, or falls."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict

import pytest

from app.llm.config import PRESETS, ClassifierConfig, LoRAConfig, ModelConfig, Word2VecConfig
from app.llm.train.config import ClassifyConfig, InstructConfig, PreferenceConfig, SkipGramConfig, TrainConfig
from app.services import trial_process
from app.services.trial_process import Asked, measure

PATIENCE_S = 200.0  # a machine that is busy is slow, not wrong
TINY = ModelConfig(**PRESETS["gpt-tiny"], vocab_size=300)
STEP = '{"batch_size": %d, "tokens": 10, "seconds": %g, "peak_bytes": 5}'


def asked(**fields: object) -> Asked:
    train = asdict(TrainConfig(batch_size=3, trainable="last_block"))
    known = dict(
        recipe="pretrain",
        family="gpt2",
        network=TINY.to_dict(),
        train=train,
        window=16,
        device="cpu",
        devices="cpu",
        threads=1,
        seconds=PATIENCE_S / 2,
    )
    return Asked(**{**known, **fields})


def program(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(trial_process, "COMMAND", (sys.executable, "-c", source))


def test_steps_of_whole_batches_are_measured() -> None:
    trial = measure(asked(), PATIENCE_S)
    assert (trial.device, trial.device_bytes, trial.why_not) == ("cpu", None, None)
    assert [(step.batch_size, step.tokens) for step in trial.steps] == [(3, 48)] * 4
    assert all(step.tokens_per_s > 0 and step.peak_bytes > 50_000_000 for step in trial.steps)


def test_word_vectors_are_tried_too() -> None:
    config, train = Word2VecConfig(300, 8), SkipGramConfig(batch_size=16)
    trial = measure(
        asked(
            recipe="word2vec",
            family="word2vec",
            network=config.to_dict(),
            train=asdict(train),
            window=train.window_length,
        ),
        PATIENCE_S,
    )
    assert [step.tokens for step in trial.steps] == [16] * 4


@pytest.mark.parametrize("trainable", ["head", "last_block", "all"])
def test_classifiers_are_tried_too(trainable: str) -> None:
    shape = ClassifierConfig(TINY, ("a", "b", "c"), "last_token", 16, 0)
    train = asdict(ClassifyConfig(batch_size=4, trainable=trainable))
    trial = measure(asked(recipe="classify", family="classifier", network=shape.to_dict(), train=train), PATIENCE_S)
    assert [(step.batch_size, step.tokens) for step in trial.steps] == [(4, 64)] * 4


@pytest.mark.parametrize("lora", [None, LoRAConfig(rank=2)])
@pytest.mark.parametrize(("config", "a_row"), [(InstructConfig, 16), (PreferenceConfig, 2 * 8)])
def test_answers_and_pairs_of_them_are_tried_too(
    config: type[InstructConfig | PreferenceConfig], a_row: int, lora: LoRAConfig | None
) -> None:
    train = asdict(config(batch_size=4, lora=lora))
    trial = measure(asked(recipe="instruct" if config is InstructConfig else "dpo", train=train), PATIENCE_S)
    assert [(step.batch_size, step.tokens) for step in trial.steps] == [(4, 4 * a_row)] * 4


def test_a_device_that_is_not_there_is_told() -> None:
    trial = measure(asked(device="cuda"))
    assert trial.steps == ()
    assert trial.why_not is not None
    assert "CUDA" in trial.why_not


def test_steps_of_one_window_stand_where_no_whole_batch_is_done_in_time(monkeypatch) -> None:
    told = ['{"device": "cpu", "device_bytes": null}', STEP % (1, 9), STEP % (1, 2)]
    program(
        monkeypatch,
        f"import time\nfor line in {told!r}: print(line, flush=True)\nprint('{{', end='', flush=True)\ntime.sleep(60)",
    )
    started = time.monotonic()
    trial = measure(asked(), limit_s=1.5)
    assert time.monotonic() - started < 10
    assert [(step.batch_size, step.tokens_per_s) for step in trial.steps] == [(1, 5.0)]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import time; time.sleep(60)", "no step was done within 1.5 s"),
        ("raise SystemExit(9)", "ended early"),
        ("pass", "told nothing"),
    ],
)
def test_why_there_is_no_figure_is_told(source: str, said: str, monkeypatch) -> None:
    program(monkeypatch, source)
    trial = measure(asked(), limit_s=1.5)
    assert trial.steps == ()
    assert trial.why_not is not None
    assert said in trial.why_not


def test_one_that_waits_too_long_for_another_says_so(monkeypatch) -> None:
    monkeypatch.setattr(trial_process, "BUSY_S", 0.05)
    with trial_process._ONE:
        assert measure(asked()).why_not == "other estimates are being measured; ask again"
