"""The wire of /v1/fine_tuning: jobs as OpenAI's clients ask for them and see them (OpenAI's API reference, 2026-11).

`classification` and `pretrain` are methods of our own; all else has OpenAI's names.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.schemas.base import Out, StoredText, an_example
from app.schemas.job import MAX_EPOCHS, MAX_SEED, Status
from app.schemas.lora import LoRASpec
from app.schemas.openai_base import OpenAIIn

MethodName = Literal["supervised", "dpo", "classification", "pretrain"]
MAX_METADATA = 16
MAX_SUFFIX_CHARACTERS = 64


def _or_auto(value: Any) -> Any:
    return None if value == "auto" else value


AUTO = "auto: the recipe's default."
Epochs = Annotated[
    Annotated[int, Field(ge=1, le=MAX_EPOCHS)] | None,
    BeforeValidator(_or_auto, json_schema_input_type=int | Literal["auto"]),
]
BatchSize = Annotated[
    Annotated[int, Field(ge=1, le=1 << 20)] | None,
    BeforeValidator(_or_auto, json_schema_input_type=int | Literal["auto"]),
]
Multiplier = Annotated[
    Annotated[float, Field(gt=0, le=1e6)] | None,
    BeforeValidator(_or_auto, json_schema_input_type=float | Literal["auto"]),
]
Beta = Annotated[
    Annotated[float, Field(gt=0, le=2)] | None,
    BeforeValidator(_or_auto, json_schema_input_type=float | Literal["auto"]),
]


class FineTuningPart(OpenAIIn):
    """Nothing in it is taken and left without effect."""

    unused: ClassVar[frozenset[str]] = frozenset()


class HyperparametersIn(FineTuningPart):
    n_epochs: Epochs = Field(None, description=AUTO)
    batch_size: BatchSize = Field(None, description=AUTO)
    learning_rate_multiplier: Multiplier = Field(None, description="Of the recipe's default rate, and of its lowest.")


class AdaptableHyperparametersIn(HyperparametersIn):
    lora: LoRASpec | None = Field(
        None, description="Our own: have an adapter learn in place of the network's own weights."
    )


class DpoHyperparametersIn(AdaptableHyperparametersIn):
    beta: Beta = Field(None, description="How strongly it is held to the model it starts from.")


class SettingsIn(FineTuningPart):
    hyperparameters: HyperparametersIn = Field(default_factory=HyperparametersIn)


class AdaptableSettingsIn(FineTuningPart):
    hyperparameters: AdaptableHyperparametersIn = Field(default_factory=AdaptableHyperparametersIn)


class DpoSettingsIn(FineTuningPart):
    hyperparameters: DpoHyperparametersIn = Field(default_factory=DpoHyperparametersIn)


class MethodIn(FineTuningPart):
    """How to train, and under the method's own name with which settings."""

    type: MethodName
    supervised: AdaptableSettingsIn | None = None
    dpo: DpoSettingsIn | None = None
    classification: AdaptableSettingsIn | None = None
    pretrain: SettingsIn | None = None

    @model_validator(mode="after")
    def _settings_of_its_own(self) -> MethodIn:
        for name in ("supervised", "dpo", "classification", "pretrain"):
            if name != self.type and getattr(self, name) is not None:
                told = {"type": self.type, "name": name}
                raise PydanticCustomError("method", "type is {type}; leave the settings of {name} out", told)
        return self

    @property
    def hyperparameters(self) -> HyperparametersIn:
        settings: SettingsIn | AdaptableSettingsIn | DpoSettingsIn | None = getattr(self, self.type)
        return HyperparametersIn() if settings is None else settings.hyperparameters


MetadataKey = Annotated[StoredText, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[StoredText, Field(max_length=512)]


class FineTuningCreate(FineTuningPart):
    """POST /v1/fine_tuning/jobs."""

    model_config = an_example(
        model="smollm2-135m-instruct",
        training_file="small-tasks",
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
        suffix="tasks",
    )

    model: StoredText = Field(description="A model, or `job_id@step`; of `pretrain` a preset, too: a new network.")
    training_file: StoredText
    validation_file: StoredText | None = Field(None, description="Omitted: what the method says.")
    method: MethodIn | None = Field(None, description="Omitted: supervised.")
    hyperparameters: HyperparametersIn | None = Field(None, description="Of supervised; in place of `method`.")
    suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=MAX_SUFFIX_CHARACTERS)] | None = Field(
        None, description="Stands in the name of the model that comes out."
    )
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Omitted: by chance, and in the answer.")
    metadata: dict[MetadataKey, MetadataValue] | None = Field(
        None, max_length=MAX_METADATA, description="Up to 16 pairs that are kept with the job."
    )


class JobErrorOut(Out):
    code: str
    message: str
    param: str | None


class HyperparametersOut(Out):
    n_epochs: int | Literal["auto"] = Field(description="auto: the job's length is said in steps.")
    batch_size: int
    learning_rate_multiplier: float


class FineTuningJobOut(Out):
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    id: str = Field(description="The job's: the same row is at /jobs.")
    created_at: int
    finished_at: int | None
    estimated_finish: int | None = Field(description="Of a running job that has measured its pace.")
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: Status = Field(description="`paused` is not in OpenAI's list.")
    hyperparameters: HyperparametersOut
    method: dict[str, Any]
    training_file: str
    validation_file: str | None
    result_files: list[str] = Field(description="Empty: the metrics are at GET /jobs/{job_id}/metrics.csv.")
    trained_tokens: int | None = Field(description="Null until the job has ended.")
    error: JobErrorOut | None
    seed: int
    integrations: None = None
    metadata: dict[str, str] | None


class FineTuningJobsOut(Out):
    object: Literal["list"] = "list"
    data: list[FineTuningJobOut]
    has_more: bool


class FineTuningEventOut(Out):
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any] | None


class FineTuningEventsOut(Out):
    object: Literal["list"] = "list"
    data: list[FineTuningEventOut]
    has_more: bool


class CheckpointMetricsOut(Out):
    step: int
    train_loss: float | None
    train_mean_token_accuracy: None = None
    valid_loss: float | None
    valid_mean_token_accuracy: None = None
    full_valid_loss: None = None
    full_valid_mean_token_accuracy: None = None


class FineTuningCheckpointOut(Out):
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str = Field(description="Names it wherever a model is named.")
    step_number: int
    fine_tuning_job_id: str
    metrics: CheckpointMetricsOut


class FineTuningCheckpointsOut(Out):
    object: Literal["list"] = "list"
    data: list[FineTuningCheckpointOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FineTuningQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: StoredText | None = Field(None, max_length=200, description="The id that the page before ended with.")
    limit: int = Field(20, ge=1, le=1000)


class FineTuningJobsQuery(FineTuningQuery):
    """A list of jobs; `metadata[key]=value` chooses those with such a pair, and may be repeated."""

    metadata: dict[MetadataKey, MetadataValue] | None = Field(
        None, description="As `metadata[key]=value`: jobs with this pair; `null`: jobs without any."
    )

    @model_validator(mode="before")
    @classmethod
    def _pairs(cls, query: dict[str, Any]) -> dict[str, Any]:
        pairs = {name[len("metadata[") : -1]: value for name, value in query.items() if _is_pair(name)}
        if pairs and "metadata" in query:
            raise PydanticCustomError("metadata", "metadata is given as pairs and as a whole: give one of them")
        others = {name: value for name, value in query.items() if not _is_pair(name)}
        if query.get("metadata") == "null":
            return others | {"metadata": {}}
        return others | ({"metadata": pairs} if pairs else {})


def _is_pair(name: str) -> bool:
    return name.startswith("metadata[") and name.endswith("]")


class FineTuningCheckpointQuery(FineTuningQuery):
    limit: int = Field(10, ge=1, le=1000)
