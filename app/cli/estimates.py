"""What a job would take, as lines that a person reads."""

from __future__ import annotations

from typing import Any

from app.cli import show

UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def show_estimate(answer: dict[str, Any]) -> None:
    """A line for each part of the answer of `POST /jobs/estimate`, then what keeps the job from being done."""
    show.rows(("", ""), _lines(answer))
    for problem in answer["problems"]:
        show.errors.print(problem["message"], markup=False)


def _lines(answer: dict[str, Any]) -> list[tuple[str, str]]:
    parameters, memory, disk, size = (answer[part] for part in ("parameters", "memory", "disk", "size"))
    parts = ", ".join(
        f"{name} {_bytes(memory[name])}" for name in ("weights", "gradients", "optimizer", "activations", "process")
    )
    there = "" if memory["there"] is None else f" of {_bytes(memory['there'])}"
    about = "" if size["exact"] else "about "
    lines = [
        ("parameters", f"{parameters['all']:,}, {parameters['learning']:,} of them learn"),
        ("memory", f"{_bytes(memory['total'])}{there}: {parts}"),
        *_of_devices(memory),
        ("disk", f"{disk['copies']} checkpoints of {_bytes(disk['checkpoint'])}, {_bytes(disk['free'])} free"),
        ("text", f"{about}{size['dataset_tokens']:,} tokens, {size['steps_an_epoch']:,} steps an epoch"),
        ("run", f"{size['steps']:,} steps, {size['tokens']:,} tokens, {size['epochs']:.2f} epochs"),
    ]
    speed, seconds = answer["speed"], answer["seconds"]
    if speed is None:
        return [*lines, ("speed", f"not measured: {answer['why_no_speed']}")]
    measured = f"{speed['tokens_per_s']:,.0f} tokens/s on {speed['device']}, in {speed['steps']} steps"
    took = f"{_time(seconds['expected'])} ({_time(seconds['low'])} to {_time(seconds['high'])})"
    return [*lines, ("speed", f"{measured} of {speed['batch_size']} windows"), ("time", took)]


def _of_devices(memory: dict[str, Any]) -> list[tuple[str, str]]:
    if memory["other_devices"] is None:
        return []
    how = "the network is divided among them" if memory["sharded"] else "each has the whole network"
    return [("devices", f"the first takes that, each other one {_bytes(memory['other_devices'])}; {how}")]


def _bytes(count: int) -> str:
    unit, size = next((each for each in UNITS if count >= each[1]), ("bytes", 1.0))
    return f"{count / size:.1f} {unit}" if size > 1 else f"{count} {unit}"


def _time(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
