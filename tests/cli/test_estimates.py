"""The lines of an estimate."""

from __future__ import annotations

from app.cli.estimates import show_estimate

ANSWER = {
    "parameters": {"all": 1234567, "learning": 1000},
    "memory": {
        "weights": 5_000_000, "gradients": 4000, "optimizer": 8000, "activations": 2_500_000_000,
        "process": 350_000_000, "total": 2_855_012_000, "there": 16_000_000_000,
        "sharded": False, "other_devices": None,
    },
    "disk": {"checkpoint": 900, "copies": 3, "free": 10**11},
    "size": {
        "dataset_tokens": 9000, "exact": False, "tokens": 64000, "steps": 100, "steps_an_epoch": 14, "epochs": 7.142,
    },
    "speed": {"device": "cpu", "steps": 4, "batch_size": 8, "tokens_per_s": 1234.5},
    "seconds": {"expected": 52.0, "low": 45.0, "high": 9000.0},
    "problems": [],
}  # fmt: skip


def test_figures_are_lines_that_a_person_reads(capsys) -> None:
    show_estimate(ANSWER)
    out = capsys.readouterr().out
    for said in (
        "1,234,567, 1,000 of them learn",
        "2.9 GB of 16.0 GB: weights 5.0 MB, gradients 4.0 kB, optimizer 8.0 kB, activations 2.5 GB, process 350.0 MB",
        "3 checkpoints of 900 bytes, 100.0 GB free",
        "about 9,000 tokens, 14 steps an epoch",
        "100 steps, 64,000 tokens, 7.14 epochs",
        "1,234 tokens/s on cpu, in 4 steps of 8 windows",
        "52 s (45 s to 2 h 30 min)",
    ):
        assert said in out, out


def test_what_was_not_measured_and_what_does_not_fit_is_told(capsys) -> None:
    problem = {"code": "does_not_fit", "message": "train.batch_size: too much", "param": "train.batch_size"}
    unknown = {"speed": None, "why_no_speed": "no step was done", "seconds": None, "problems": [problem]}
    show_estimate(ANSWER | unknown | {"memory": ANSWER["memory"] | {"there": None}})
    told = capsys.readouterr()
    assert "not measured: no step was done" in told.out
    assert "2.9 GB: weights" in told.out
    assert told.err == "train.batch_size: too much\n"


def test_of_several_devices_the_others_have_a_line(capsys) -> None:
    memory = ANSWER["memory"] | {"sharded": True, "other_devices": 900_000_000}
    show_estimate(ANSWER | {"memory": memory})
    assert "the first takes that, each other one 900.0 MB; the network is divided among them" in words_of(capsys)
    show_estimate(ANSWER | {"memory": memory | {"sharded": False}})
    assert "each has the whole network" in words_of(capsys)


def words_of(capsys) -> str:
    """What was printed, on however many lines."""
    return " ".join(capsys.readouterr().out.split())
