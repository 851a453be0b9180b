"""The decoder that a job begins with: a new one, drawn from its seed, or a registered one that goes on."""

from __future__ import annotations

from collections.abc import Callable

import torch

from app.db.tables.job import JobRow
from app.errors import InvalidRequest
from app.llm.checkpoint import ModelMeta
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.stored import whole
from app.llm.model.transformer import Transformer
from app.services import job_needs, model_files
from app.services.corpus import Encoder
from app.services.model_files import Weights
from app.services.runtime import Runtime


def start(
    runtime: Runtime, job: JobRow, encoder: Encoder, new: Callable[[ModelConfig], Transformer] = Transformer
) -> tuple[Transformer, ModelMeta]:
    """The network, on the CPU, and what stands beside it; torch's generator is seeded before.

    Args:
        new: draws the weights of one that begins anew.

    Raises:
        AppError: the model to go on from is not there (any more), or its tokenizer is not for it.
        BadConfig, BadWeights, BadCheckpoint: it cannot be made, or is damaged.
    """
    torch.manual_seed(job.seed)
    base = job.model.get("name")
    if base is None:
        fields = {name: value for name, value in job.model.items() if name != "preset"}
        preset = PRESETS[job.model["preset"]] if job.model.get("preset") else {}
        config = ModelConfig(**{**preset, **fields, "vocab_size": encoder.tokenizer.vocab_size})
        return new(config), ModelMeta(config, job.tokenizer, encoder.tokenizer.eos_id)
    weights = base_weights(runtime, job)
    if weights.config.vocab_size != encoder.tokenizer.vocab_size:
        sizes = f"{weights.config.vocab_size} tokens, but its tokenizer {job.tokenizer} {encoder.tokenizer.vocab_size}"
        raise InvalidRequest(f"model: {base} has {sizes}", param="model")
    meta = ModelMeta(
        config=weights.config,
        tokenizer=weights.tokenizer,
        eos_id=weights.eos_id,
        chat_template=weights.chat_template,
        base_model=base,
        licence=weights.licence,
    )
    return whole(weights.network), meta


def base_weights(runtime: Runtime, job: JobRow) -> Weights:
    """The weights of the registered network that the job goes on from.

    Raises:
        ModelNotFound, CheckpointNotFound, DataMissing: it is not there (any more).
        Conflict: another one has its name by now.
        BadWeights, BadCheckpoint: it is damaged.
    """
    name = job.model["name"]
    with runtime.database.read() as session:
        place = model_files.find(session, runtime.storage, name)
    job_needs.check_same(job, name, place.version)
    return model_files.read(place)
