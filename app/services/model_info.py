"""What can be said of a model without loading it: of one that ships, one that has a row, and a job's checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.model import ModelRow
from app.llm.config import AdapterConfig, ClassifierConfig, ModelConfig, NetworkConfig, network_config
from app.llm.model.shapes import FLOAT_BYTES, Part, bytes_by_part
from app.llm.progress import Progress
from app.services import model_files
from app.services.lineage import Link
from app.services.model_files import BuiltIn
from app.services.storage import Storage

State = Literal["unloaded", "loading", "loaded"]
Origin = Literal["builtin", "job", "import", "checkpoint"]


@dataclass(frozen=True)
class ModelInfo:
    """A model's facts. Bytes by part are those of its weights in float32; held are those that memory has of it now."""

    name: str
    family: Literal["gpt2", "llama", "word2vec", "classifier", "adapter"]
    config: NetworkConfig
    tokenizer: str
    parameters: int
    size_bytes: int
    sha256: str
    source: Origin
    base_model: str | None
    job: str | None
    licence: str | None
    chat: bool
    available: bool
    hint: str | None
    created_at: int | None
    bytes_by_part: dict[Part, int]
    origin: dict[str, Any] | None = None
    datasets: list[dict[str, Any]] = field(default_factory=list)
    ancestors: list[Link] = field(default_factory=list)
    state: State = "unloaded"
    progress: Progress | None = None
    held_bytes: int = 0
    owner: str | None = None
    """The id of the key whose it is; None: it is there for all."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self.config.classes if isinstance(self.config, ClassifierConfig) else None

    @property
    def threshold(self) -> float | None:
        return self.config.threshold if isinstance(self.config, ClassifierConfig) else None

    @property
    def writes(self) -> bool:
        """Whether it continues text."""
        return isinstance(self.config, ModelConfig | AdapterConfig)

    @property
    def memory_bytes(self) -> int:
        return sum(self.bytes_by_part.values())


def of_built_in(storage: Storage, model: BuiltIn) -> ModelInfo:
    available = storage.asset(model.file_name).exists()
    return ModelInfo(
        name=model.name,
        family=model.config.family,
        config=model.config,
        tokenizer=model.tokenizer,
        parameters=model.parameters,
        size_bytes=model.size_bytes,
        sha256=model.sha256,
        source="builtin",
        base_model=None,
        job=None,
        licence=model.licence,
        chat=model.has_chat_template,
        available=available,
        hint=None if available else "`make assets` brings it (it needs a network)",
        created_at=None,
        bytes_by_part=bytes_by_part(model.config),
    )


def of_row(storage: Storage, row: ModelRow) -> ModelInfo:
    config = network_config(row.family, row.config)
    folder = storage.model(row.name)
    available = folder.exists()
    return ModelInfo(
        name=row.name,
        family=config.family,
        config=config,
        tokenizer=row.tokenizer,
        parameters=row.parameters,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        source="import" if row.source == "import" else "job",
        base_model=row.base_model,
        job=row.job_id,
        licence=row.licence,
        chat=model_files.has_chat_template(folder),
        available=available,
        hint=None if available else "its folder is gone from the data directory",
        created_at=int(row.created_at),
        bytes_by_part=bytes_by_part(config),
        origin=row.origin,
        datasets=row.datasets,
        ancestors=row.ancestors,
        owner=row.owner,
    )


def of_checkpoint(
    folder: Path,
    row: CheckpointRow,
    *,
    base_model: str | None,
    datasets: list[dict[str, Any]],
    ancestors: list[Link],
    owner: str | None,
) -> ModelInfo:
    """Of a job's checkpoint as a model.

    Raises:
        DataMissing: its files are gone or damaged.
    """
    found = model_files.described(row.id, folder)
    parts = bytes_by_part(found.config)
    return ModelInfo(
        name=row.id,
        family=found.config.family,
        config=found.config,
        tokenizer=found.tokenizer,
        parameters=sum(parts.values()) // FLOAT_BYTES,
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        source="checkpoint",
        base_model=base_model,
        job=row.job_id,
        licence=None,
        chat=found.chat,
        available=True,
        hint=None,
        created_at=int(row.created_at),
        bytes_by_part=parts,
        datasets=datasets,
        ancestors=ancestors,
        owner=owner,
    )
