"""The wire of /jobs: what is asked for, the job, and what it tells of itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.config import MAX_DEVICES
from app.schemas.base import In, Out, StoredText, an_example
from app.schemas.evaluation import EvaluateSpec
from app.schemas.lora import LoRASpec
from app.schemas.name_or import NameOr

MAX_MIXED = 16
MAX_EPOCHS = 10_000
MAX_SAMPLE_TOKENS = 2000
MAX_PROMPT_CHARACTERS = 2000
MAX_SEED = 2**63 - 1
LENGTHS = ("max_steps", "epochs")  # a change of one takes the place of the other

Recipe = Literal["pretrain", "word2vec", "classify", "instruct", "dpo", "evaluate"]
Status = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]


class DatasetShare(In):
    """One text of a mixture, and its share of an epoch."""

    dataset: str
    weight: float = Field(1.0, gt=0, le=1000)
    column: str | None = Field(None, description="Of rows; omitted: `text`, or the only one of texts.")


Shares = Annotated[list[DatasetShare], Field(min_length=1, max_length=MAX_MIXED)]
Fraction = Annotated[float, Field(ge=0, le=0.9)]


class HeldOut(In):
    """A dataset to measure on, and of rows the column to read."""

    dataset: str
    column: str | None = Field(None, description="Of rows; omitted: the one that is learnt from, else as in `dataset`.")


class NetworkSpec(In):
    """A new network: a preset, fields over a preset, or all fields, in the book's names; for word2vec `emb_dim`."""

    preset: str | None = None
    vocab_size: int | None = Field(None, description="Only as many as the tokenizer has; it gives this number anyway.")
    context_length: int | None = None
    emb_dim: int | None = None
    n_heads: int | None = None
    n_layers: int | None = None
    drop_rate: float | None = None
    qkv_bias: bool | None = None
    n_kv_heads: int | None = None
    hidden_dim: int | None = None
    norm: Literal["layernorm", "rmsnorm"] | None = None
    position: Literal["learned", "rope"] | None = None
    mlp: Literal["gelu", "swiglu"] | None = None
    tied: bool | None = None
    norm_eps: float | None = Field(None, gt=0, le=1)
    rope_base: float | None = Field(None, ge=1, le=1e9)


class ColumnsSpec(In):
    """Which column of the rows is what; what is left out is looked for by the names that are usual for it."""

    text: StoredText | None = Field(None, description="classify: what is to be told apart.")
    label: StoredText | None = Field(None, description="classify: the class.")
    instruction: StoredText | None = None
    input: StoredText | None = None
    output: StoredText | None = None
    messages: StoredText | None = None
    prompt: StoredText | None = None
    completion: StoredText | None = None
    chosen: StoredText | None = None
    rejected: StoredText | None = None
    question: StoredText | None = None
    choices: StoredText | None = None
    answer: StoredText | None = None


class TrainSpec(In):
    """How to train; what is left out has the recipe's default (here: pretrain's), which the job then shows.

    A setting that the recipe does not have is refused.
    """

    preset: str | None = Field(None, description="Settings of a whole job; what is said here stands over them.")
    max_steps: int | None = Field(None, description="This or `epochs`; with neither, one epoch.")
    epochs: int | None = Field(None, le=MAX_EPOCHS)
    batch_size: int = 8
    accumulate: int = Field(1, description="Batches whose mean gradient makes one step.")
    context_length: int | None = Field(None, description="Tokens a window; omitted: the model's, at most 256.")
    stride: int | None = Field(None, description="Tokens from one window to the next; omitted: a window's length.")
    learning_rate: float = 5e-4
    min_learning_rate: float = 0.0
    weight_decay: float = 0.1
    warmup_steps: int = 0
    grad_clip: float | None = 1.0
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of matrix products; weights and optimizer are float32 either way."
    )
    compile: bool = Field(False, description="Have torch.compile make the network faster, which takes a minute.")
    trainable: Literal["all", "last_block", "head"] = Field("all", description="`head`: classify's alone.")
    reads: Literal["last_token", "last_place", "first_token"] = Field(
        "last_token", description="classify: off which token the class is read; `last_place`: behind what fills it up."
    )
    max_tokens: int | None = Field(
        None,
        description="classify, instruct, dpo: what is longer is cut; omitted: the longest text's, the model's context.",
    )
    balanced: bool = Field(False, description="classify: of each class as many texts as of the smallest.")
    template: Literal["alpaca", "phi3", "chat"] | None = Field(
        None,
        description="instruct, dpo: how a dialogue looks as text; omitted: `chat`, the model's own template, where it "
        "has one, else `alpaca`.",
    )
    mask_prompt: bool = Field(True, description="instruct: the answers alone are learnt, not the prompts.")
    batching: Literal["by_length", "by_chance"] = Field(
        "by_length",
        description="instruct, and classify, whose default is `by_chance`: rows of about one length share a batch, so "
        "that little is padding.",
    )
    beta: float = Field(0.1, description="dpo: how dear it is to move away from the network as it was.")
    log_probability: Literal["mean", "sum"] = Field(
        "mean", description="dpo: of an answer, the mean of its tokens', as in the book, or their sum."
    )
    order: Literal["seeded", "book"] = Field(
        "seeded", description="book: weights, batches and dropout are drawn from one generator, as the book does it."
    )
    shard: Literal["auto", "always", "never"] = Field(
        "auto",
        description="Whether several devices divide weights, gradients and optimizer among them (FSDP2) in place of "
        "having them whole each; `auto`: where they would not fit one.",
    )
    eval_every: int = 20
    eval_offset: int = Field(0, description="Evaluations come so many steps later: with 1 after steps 1, 21, 41, …")
    eval_batches: int = 8
    patience: int | None = Field(
        None, description="End after so many evaluations without a better validation loss; null: never."
    )
    min_improvement: float = Field(0.0, description="With `patience`: by how much it must be lower to be better.")
    max_rise: float | None = Field(
        None, description="Fail as diverged once the validation loss lies so far above its best; null: never."
    )
    sample_every: int = 50
    sample_prompt: StoredText = Field("The", max_length=MAX_PROMPT_CHARACTERS)
    sample_tokens: int = Field(40, le=MAX_SAMPLE_TOKENS)
    checkpoint_every: int = 100
    keep_checkpoints: int = Field(2, description="The newest ones.")
    keep_best: bool = Field(True, description="Beside them, the one with the lowest validation loss.")
    lora: LoRASpec | None = Field(None, description="Have an adapter learn in place of the network's own weights.")
    window: int = Field(5, description="word2vec: words to each side, at most.")
    negatives: int = Field(5, description="word2vec: words by chance for each pair.")
    subsample: float | None = Field(1e-3, description="word2vec: more frequent words are left out at times.")


class WebhookSpec(In):
    """Who is told when the job ends."""

    url: str
    secret: str | None = Field(None, description="`whsec_` and 24 to 64 bytes in base 64; signs what is sent.")


class WebhookOut(Out):
    url: str = Field(description="Its secret is not shown.")


class JobCreate(In):
    """A training job."""

    model_config = an_example(
        recipe="pretrain", dataset="the-tide-clock", model={"preset": "gpt-tiny"}, train={"max_steps": 100}, seed=1
    )

    recipe: Recipe
    dataset: Annotated[str | list[DatasetShare], NameOr(Shares)] = Field(
        description="A dataset's id, or several with their shares."
    )
    model: Annotated[str | NetworkSpec, NameOr(NetworkSpec)] = Field(
        default_factory=NetworkSpec,
        description="A new network (gpt-tiny if nothing is said), or a model (or `job_id@step`) to go on from.",
    )
    tokenizer: str | None = Field(
        None,
        description="Of a new network; one that goes on keeps its own. word2vec, omitted: the words of the text.",
    )
    validation: Annotated[float | str | HeldOut, NameOr(Fraction, HeldOut)] = Field(
        0.1, description="The share of each text that is kept back to measure on (0: none), or a dataset (its id)."
    )
    test: Fraction | None = Field(
        None, description="Of rows: the share that is kept back for the report at the end. classify, omitted: 0.2."
    )
    columns: ColumnsSpec = Field(default_factory=ColumnsSpec, description="Of recipes that learn from rows.")
    train: TrainSpec = Field(default_factory=TrainSpec)
    evaluate: EvaluateSpec | None = Field(None, description="Of recipe evaluate: what of `model` is measured.")
    name: str | None = Field(None, description="Of the model that comes out.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1, le=MAX_DEVICES, description="That one step is divided among.")
    priority: int = Field(0, ge=-100, le=100, description="Higher ones run first.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Omitted: by chance, and in the answer.")
    webhook: WebhookSpec | None = Field(None, description="Told when the job has ended, however it did.")


class JobChanges(In):
    """What is to be otherwise in a job that is asked for once more; `train` is changed field by field."""

    model_config = an_example(train={"learning_rate": 0.001})

    dataset: Annotated[str | list[DatasetShare] | None, NameOr(Shares)] = None
    model: Annotated[str | NetworkSpec | None, NameOr(NetworkSpec)] = None
    tokenizer: str | None = None
    validation: Annotated[float | str | HeldOut | None, NameOr(Fraction, HeldOut)] = None
    test: Fraction | None = None
    columns: ColumnsSpec = Field(default_factory=ColumnsSpec)
    train: TrainSpec = Field(default_factory=TrainSpec)
    name: str | None = Field(None, description="Of the model that comes out; omitted: made up.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, ge=1, le=MAX_DEVICES, description="That one step is divided among.")
    priority: int = Field(0, ge=-100, le=100)
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Omitted: the other's; null: by chance.")


class JobCancel(In):
    """How a job is to end."""

    model_config = an_example(keep_model=True)

    keep_model: bool = Field(False, description="Its last checkpoint, if it has one, becomes its model.")


class JobPatch(In):
    """What can be changed in a job that waits."""

    model_config = an_example(priority=10)

    priority: int = Field(ge=-100, le=100, description="Higher ones run first.")


class DeletedJobOut(Out):
    object: Literal["job.deleted"] = "job.deleted"
    id: str
    deleted: Literal[True] = True


class DeletedCheckpointOut(Out):
    object: Literal["checkpoint.deleted"] = "checkpoint.deleted"
    id: str
    deleted: Literal[True] = True


class JobError(Out):
    code: str
    message: str
    param: str | None


class JobResult(Out):
    model: str | None = Field(description="Null of an evaluation, which makes none.")
    checkpoint: str | None = Field(description="`job_id@step` of the last one.")


class JobOut(Out):
    object: Literal["job"] = "job"
    id: str
    recipe: str
    name: str = Field(description="Of the model that comes out.")
    status: Status
    step: int
    total_steps: int | None = Field(description="Null until it is known.")
    progress: float | None = Field(description="From 0 to 1.")
    dataset: str | list[dict[str, Any]]
    model: str | dict[str, Any] = Field(description="As asked for.")
    tokenizer: str
    validation: float | str | dict[str, Any]
    test: float | None = Field(description="Of rows: the share kept back for the report.")
    columns: dict[str, str] = Field(description="Of rows, by role; empty where texts are learnt from.")
    train: dict[str, Any]
    evaluate: dict[str, Any] | None = Field(description="What an evaluation measures; its judge's key is not shown.")
    device: str
    devices: int
    priority: int
    seed: int
    attempt: int
    size_bytes: int = Field(description="Of all checkpoints that it keeps.")
    cancel_requested: bool
    pause_requested: bool = Field(description="It pauses after the step it is in.")
    waiting_for: str | None = Field(
        description="Told by GET of a queued job that no live worker can run: what is not there."
    )
    created_at: int
    started_at: int | None
    finished_at: int | None
    webhook: WebhookOut | None
    error: JobError | None
    result: JobResult | None


class JobQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, description="The id that the page before ended with.")
    limit: int = Field(20, ge=1, le=1000)
    status: list[Status] = Field(default_factory=list, description="Repeatable: any of these.")
    recipe: Recipe | None = None
    model: StoredText | None = Field(None, description="That the job makes or goes on from.")
    dataset: StoredText | None = Field(None, description="An id: that the job learns from or measures on.")
