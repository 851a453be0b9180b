"""What a way to train brings to a job: first what it makes of the request, then the network, its data and its task.

`job_checks` asks the first when a job is wanted, `training` the rest when it runs; each has a table of recipes by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from app.errors import InvalidRequest, UnknownField
from app.llm.config import NetworkConfig
from app.llm.errors import BadConfig
from app.llm.train.config import LoopConfig, TrainConfig
from app.schemas.job import JobCreate

if TYPE_CHECKING:  # torch, which a server needs only once it computes
    from app.db.tables.job import JobRow
    from app.llm.checkpoint import ModelMeta, Network
    from app.llm.train.loop import Task
    from app.services.batch_rows import Row
    from app.services.corpus import Encoder
    from app.services.runtime import Runtime

MAX_BATCH_TOKENS = 1 << 20
DEFAULT_WINDOW = 256
"""Tokens a window where the job says nothing and the model could take more."""

Config = TypeVar("Config", bound=LoopConfig)
Check = Callable[[], None]


@dataclass(frozen=True)
class Asked:
    """A request as the recipe understands it."""

    model: dict[str, Any]  # as the job's row keeps it
    called: str  # what a name that is made up begins with
    tokenizer_name: str
    makes_tokenizer: bool  # the book's word tokenizer of the text, under that name, along with the job
    train: LoopConfig
    window: int  # tokens that a text must have, and one more; of rows, that one may have at most
    network: NetworkConfig  # of a tokenizer that is still to be made, with a single token
    columns: Mapping[str, str] | None = None  # by role, of a recipe that learns from rows; None: from windows of text
    chat_template: str | None = None  # the model's own, of a recipe that teaches it to answer
    test: float = 0.0  # share of the rows that is kept back for the report at the end


class RunData(Protocol):
    """What a run learns from, as its owner asks about it: `job_data.WindowData`, `job_examples.ExampleData`."""

    def sources(self, steps: int) -> list[dict[str, Any]]:
        """What the first `steps` batches take of each dataset."""

    def rows_of(self, numbers: Iterable[int]) -> list[Row]:
        """What the batches `numbers` are made of, the first ones, so that a person finds it again."""


@dataclass(frozen=True)
class Finished:
    """What is known once all steps are done."""

    report: dict[str, Any] | None  # on what was held out
    meta: ModelMeta  # of the model that comes out, with what was chosen at the end


@dataclass(frozen=True)
class Run:
    """All that the loop needs."""

    task: Task
    config: LoopConfig  # its length said in steps
    data: RunData
    flops_per_token: int | None = None  # of the network's products; None where they are not most of the work
    part: Callable[[int, int], Task] | None = None
    """The task on part n of m of every batch, the parts' mean loss that of the batch; None: on whole ones alone."""
    finish: Callable[[Check], Finished] | None = None
    """Measures the trained network once all steps are done; None: nothing is left to be done then."""


class Recipe(Protocol):
    """A module of this form is a recipe, to the trainer."""

    def read_config(self, train: dict[str, Any]) -> LoopConfig:
        """The settings of a job's row."""

    def make_network(self, runtime: Runtime, job: JobRow, encoder: Encoder) -> tuple[Network, ModelMeta]:
        """The network that the job starts from: a new one, drawn from its seed, or a registered one to continue."""

    def make_run(
        self, runtime: Runtime, job: JobRow, encoder: Encoder, network: Network, meta: ModelMeta, check: Check
    ) -> Run:
        """The data and the task for a network that lies on its device.

        Raises:
            AppError, LLMError: the job cannot be done any more; told to whoever asked for it.
            TrainingStopped: by `check`.
        """


def train_config(body: JobCreate, kind: type[Config]) -> Config:
    """The settings of `train` as the recipe has them, with its own defaults.

    Raises:
        UnknownField: one that this recipe does not honour.
        InvalidRequest: they do not fit together.
    """
    given = body.train.model_dump(exclude_unset=True)
    refuse_others(body, "train", given, {field.name for field in fields(kind)})
    try:
        return kind(**given)
    except BadConfig as error:
        raise InvalidRequest(f"train.{error}", param=f"train.{error.field}") from error


def refuse_others(body: JobCreate, part: str, given: dict[str, Any], honoured: set[str]) -> None:
    """Pass fields that the recipe honours.

    Raises:
        UnknownField: any other.
    """
    odd = sorted(given.keys() - honoured)
    if odd:
        raise UnknownField(f"{part}.{odd[0]}: recipe {body.recipe} has no such setting", param=f"{part}.{odd[0]}")


def check_batch(batch_size: int, window: int, of: str) -> None:
    """Pass a batch that is not absurdly large.

    Raises:
        InvalidRequest: it is.
    """
    if batch_size * window > MAX_BATCH_TOKENS:
        told = f"{batch_size} {of} of {window} tokens are more than the {MAX_BATCH_TOKENS:,} tokens of a batch"
        raise InvalidRequest(f"train.batch_size: {told}", param="train.batch_size")


def window_length(config: TrainConfig, context_length: int) -> int:
    """Tokens a window.

    Raises:
        InvalidRequest: more were asked for than the model's context.
    """
    if config.context_length is not None and config.context_length > context_length:
        told = f"windows of {config.context_length} tokens do not fit the model's context of {context_length}"
        raise InvalidRequest(told, param="train.context_length")
    return config.context_length or min(context_length, DEFAULT_WINDOW)
