"""The networks that jobs learn with: a new one's configuration made out of the request, a known one's looked up."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.db.tables.job import JobRow
from app.errors import InvalidRequest
from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import BadConfig
from app.schemas.job import JobCreate, NetworkSpec
from app.services import adapting, model_files
from app.services.runtime import Runtime

DEFAULT_PRESET = "gpt-tiny"
MAX_PARAMETERS = 20_000_000_000


def asked_for(session: Session, runtime: Runtime, body: JobCreate) -> tuple[ModelConfig, str]:
    """The configuration of the network that a job learns with, and the name of its tokenizer.

    Raises:
        AppError: a new one cannot be made as asked, or one to go on from is not there or takes no text.
    """
    if isinstance(body.model, str):
        config, tokenizer_name = _known_network(session, runtime, body.model)
        if body.tokenizer not in (None, tokenizer_name):
            told = f"{body.model} goes on with its own tokenizer, {tokenizer_name}; leave this out"
            raise InvalidRequest(f"tokenizer: {told}", param="tokenizer")
        return config, tokenizer_name
    tokenizer_name = runtime.settings.default_tokenizer if body.tokenizer is None else body.tokenizer
    vocab_size = runtime.tokenizers.get(session, tokenizer_name).vocab_size
    return new_network(body.model, vocab_size, tokenizer_name), tokenizer_name


def _known_network(session: Session, runtime: Runtime, name: str) -> tuple[ModelConfig, str]:
    model_files.find(session, runtime.storage, name)
    info = runtime.catalogue.info(session, name)
    adapting.refuse_adapter(info.config, name)
    assert isinstance(info.config, ModelConfig), "find() refuses other kinds"
    return info.config, info.tokenizer


def named(body: JobCreate) -> tuple[dict[str, Any], str]:
    """The network as a job's row keeps it, and what a name that is made up begins with."""
    if isinstance(body.model, str):
        return {"name": body.model}, body.model.partition("@")[0][:80]
    return body.model.model_dump(exclude_none=True) or {"preset": DEFAULT_PRESET}, body.model.preset or "gpt"


def of_job(session: Session, runtime: Runtime, job: JobRow) -> ModelConfig:
    """The configuration of the network that a job is to learn with.

    Raises:
        AppError: what it needs is not there any more.
    """
    base = job.model.get("name")
    if base is not None:
        return _known_network(session, runtime, base)[0]
    vocab_size = runtime.tokenizers.get(session, job.tokenizer, param="tokenizer").vocab_size
    return new_network(NetworkSpec(**job.model), vocab_size, job.tokenizer)


def chat_template_of(session: Session, runtime: Runtime, job: JobRow) -> str | None:
    """The template of the model that a job goes on from, if it has one.

    Raises:
        AppError: the model is not there any more.
    """
    base = job.model.get("name")
    return None if base is None else model_files.chat_template(model_files.find(session, runtime.storage, base))


def new_network(spec: NetworkSpec, vocab_size: int, tokenizer_name: str) -> ModelConfig:
    """The configuration of a new network for a vocabulary.

    Raises:
        InvalidRequest: a field is missing, the fields do not fit together, or make an absurdly large network.
    """
    fields = spec.model_dump(exclude_none=True)
    preset = fields.pop("preset", None if fields else DEFAULT_PRESET)
    if preset is not None and preset not in PRESETS:
        told = f"there is no preset {preset[:100]!r}; there are {', '.join(PRESETS)}"
        raise InvalidRequest(f"model.preset: {told}", param="model.preset")
    if fields.pop("vocab_size", vocab_size) != vocab_size:
        told = f"tokenizer {tokenizer_name} has {vocab_size} tokens; leave this out"
        raise InvalidRequest(f"model.vocab_size: {told}", param="model.vocab_size")
    fields = (PRESETS[preset] if preset else {}) | fields
    for name in ("context_length", "emb_dim", "n_heads", "n_layers"):
        if name not in fields:
            raise InvalidRequest(f"model.{name}: needed where no preset is named", param=f"model.{name}")
    try:
        config = ModelConfig(**fields, vocab_size=vocab_size)
    except BadConfig as error:
        raise InvalidRequest(f"model.{error}", param=f"model.{error.field}") from error
    if (parameters := _parameters(config)) > MAX_PARAMETERS:
        raise InvalidRequest(f"model: {parameters:,} weights are more than {MAX_PARAMETERS:,}", param="model")
    return config


def _parameters(config: ModelConfig) -> int:
    """About how many weights, without biases and norms."""
    attention = 2 * config.emb_dim * (config.emb_dim + config.kv_heads * config.head_dim)
    mlp = (3 if config.mlp == "swiglu" else 2) * config.emb_dim * config.mlp_dim
    tables = config.vocab_size * (1 if config.tied else 2)
    tables += config.context_length if config.position == "learned" else 0
    return config.emb_dim * tables + config.n_layers * (attention + mlp)
