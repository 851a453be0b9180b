"""POST /jobs/estimate: what a job would take, asked of the same checks as the job itself; nothing is written."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import Any

from app.errors import AppError, InvalidRequest
from app.llm.config import ClassifierConfig, Word2VecConfig
from app.llm.train.footprint import PROCESS_BYTES, learning_parameters, parameters
from app.schemas.estimate import EstimateOut
from app.schemas.job import JobCreate
from app.services import evaluation_checks, job_checks, job_fit, job_size, jobs, machine, trial_process, webhooks
from app.services.corpus import Encoder
from app.services.job_checks import Plan
from app.services.job_fit import Checkpoints
from app.services.job_size import Size
from app.services.runtime import Runtime
from app.services.trial_process import Asked, Trial

FORWARD_SHARE = 1 / 3  # of a step: the backward pass takes twice as long (Kaplan et al. 2020)
DISK_BYTES_PER_S = 200e6  # written, hashed and synced
LEEWAY = 1.3  # a machine that is busy with other things, too


def estimate(runtime: Runtime, body: JobCreate) -> EstimateOut:
    """What the job would take. Tries some steps of it, which takes up to a minute: for a thread of its own.

    Raises:
        AppError: what is wrong with the job, as `jobs.create`; but one that does not fit is told so in the answer.
        InvalidRequest: it trains nothing.
    """
    if body.recipe == evaluation_checks.RECIPE:
        raise InvalidRequest("recipe: an evaluation trains nothing that could be estimated", param="recipe")
    if body.webhook is not None:
        webhooks.check(runtime.settings, body.webhook)
    with runtime.database.read() as session:
        plan = job_checks.plan(session, runtime, body)
        if body.name is not None:
            jobs.check_free(session, runtime, body.name)
    plan = job_checks.with_tokenizer(runtime.storage, plan)
    plan = job_checks.with_data(runtime.storage, plan)
    size = job_size.of(runtime, plan, _encoder(runtime, plan))
    problems: list[AppError] = job_fit.problems(runtime, plan, body.device)
    trial = _try(runtime, plan, body.device, problems)
    if trial.device_bytes is not None and (more := job_fit.too_little_memory(plan, trial.device_bytes, on_cpu=False)):
        problems.append(more)
    kept = job_fit.checkpoints_of(runtime, plan, size.steps)
    on_cpu = job_fit.runs_here(runtime.settings, body.device)
    there = machine.memory_bytes() if on_cpu else trial.device_bytes
    asked = plan.asked
    return EstimateOut.model_validate(
        {
            "parameters": {
                "all": parameters(asked.network),
                "learning": learning_parameters(asked.network, asked.train),
            },
            "memory": _memory(plan, trial, there, on_cpu=on_cpu),
            "disk": {
                "checkpoint": kept.size_bytes,
                "copies": kept.copies,
                "total": kept.total_bytes,
                "free": kept.free_bytes,
                "fits": kept.total_bytes <= kept.free_bytes,
            },
            "size": _size(size),
            "speed": _speed(trial),
            "why_no_speed": None if trial.steps else trial.why_not,
            "seconds": _seconds(plan, size, kept, trial),
            "fits": not problems,
            "problems": [{"code": one.code, "message": one.message, "param": one.param} for one in problems],
        }
    )


def _encoder(runtime: Runtime, plan: Plan) -> Encoder:
    assert plan.tokenizer is not None, "with_tokenizer() came first"
    with runtime.database.read() as session:
        return Encoder.of(session, plan.asked.tokenizer_name, plan.tokenizer)


def _try(runtime: Runtime, plan: Plan, device: str, problems: list[AppError]) -> Trial:
    if plan.devices > 1:
        return Trial(why_not="steps are tried on one device, and the job is for several")
    if any(one.param != "train.keep_checkpoints" and one.status == 422 for one in problems):
        return Trial(why_not="it does not fit into memory")
    asked, settings = plan.asked, runtime.settings
    return trial_process.measure(
        Asked(
            recipe=plan.recipe,
            family=asked.network.family,
            network=asked.network.to_dict(),
            train=asdict(asked.train),
            window=_tried_length(plan),
            device=device,
            devices=settings.worker_devices,
            threads=settings.train_threads,
        )
    )


def _tried_length(plan: Plan) -> int:
    """Tokens of an example to try steps with."""
    if plan.counted is None or isinstance(plan.asked.network, ClassifierConfig):
        return plan.asked.window  # what they all have, or are filled up to
    return max(2, round(plan.counted.padded))


def _memory(plan: Plan, trial: Trial, there: int | None, *, on_cpu: bool) -> dict[str, Any]:
    needed, is_sharded = job_fit.divided(plan, there, on_cpu=on_cpu)
    taken = needed.together if on_cpu else needed.first.total
    return asdict(needed.first) | {
        "process": PROCESS_BYTES,
        "total": needed.first.total,
        "sharded": is_sharded,
        "other_devices": needed.other.total if plan.devices > 1 else None,
        "measured_peak": max((step.peak_bytes for step in trial.steps), default=None),
        "there": there,
        "fits": None if there is None else taken <= there,
    }


def _size(size: Size) -> dict[str, Any]:
    return {
        "dataset_tokens": size.dataset_tokens,
        "exact": size.is_exact,
        "tokens": size.tokens,
        "tokens_a_step": size.tokens_a_step,
        "steps": size.steps,
        "steps_an_epoch": size.batches_an_epoch // size.batches_a_step,
        "epochs": size.epochs,
    }


def _speed(trial: Trial) -> dict[str, Any] | None:
    if not trial.steps:
        return None
    speeds = [step.tokens_per_s for step in trial.steps]
    return {
        "device": trial.device,
        "steps": len(speeds),
        "batch_size": trial.steps[0].batch_size,
        "tokens_per_s": median(speeds),
        "lowest": min(speeds),
        "highest": max(speeds),
    }


def _seconds(plan: Plan, size: Size, kept: Checkpoints, trial: Trial) -> dict[str, float] | None:
    """From the first step to the last: at the median speed, at the highest and nothing else, at the lowest and more."""
    if not trial.steps:
        return None
    train = plan.asked.train
    speeds = [step.tokens_per_s for step in trial.steps]
    saves = -(-size.steps // train.checkpoint_every)
    evaluations = 1 + size.steps // train.eval_every + saves
    a_batch = size.tokens_a_step // size.batches_a_step
    is_words = isinstance(plan.asked.network, Word2VecConfig)
    tokens = size.tokens + (0 if is_words else FORWARD_SHARE) * evaluations * size.measured_batches * a_batch
    saving = saves * kept.size_bytes / DISK_BYTES_PER_S
    return {
        "expected": tokens / median(speeds) + saving,
        "low": size.tokens / max(speeds),
        "high": LEEWAY * (tokens / min(speeds) + saving),
    }
