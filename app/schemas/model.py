"""The wire of /models: what there is, what each is made of, and where a new one may come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.schemas.base import In, Out, StoredText, an_example

MAX_PATH_CHARACTERS = 500
Licence = Annotated[StoredText, Field(min_length=1, max_length=200)]


class ModelConfigOut(Out):
    """The network's shape, in the book's names."""

    vocab_size: int
    context_length: int
    emb_dim: int
    n_heads: int
    n_layers: int
    drop_rate: float
    qkv_bias: bool
    n_kv_heads: int
    hidden_dim: int
    norm: Literal["layernorm", "rmsnorm"]
    position: Literal["learned", "rope"]
    mlp: Literal["gelu", "swiglu"]
    tied: bool
    norm_eps: float
    rope_base: float


class WordVectorsConfigOut(Out):
    """Word vectors: how many, and how many numbers each."""

    vocab_size: int
    emb_dim: int


class LoRAOut(Out):
    """How an adapter's matrices are made, and beside which layers they stand (null: all linear ones)."""

    rank: int
    alpha: float
    dropout: float
    targets: list[str] | None


class AdapterConfigOut(Out):
    """An adapter: the shape and hash of the network it stands beside, and what learnt there."""

    body: ModelConfigOut
    lora: LoRAOut
    base_sha256: str = Field(description="Of the base's file of weights; beside others it is refused.")


class ClassifierConfigOut(Out):
    """A network that tells classes: its body, and how they are read off it."""

    body: ModelConfigOut
    classes: list[str]
    reads: Literal["last_token", "last_place", "first_token"]
    max_tokens: int = Field(description="Longer texts are cut.")
    pad_id: int
    threshold: float | None = Field(
        description="Of two classes: from which probability on the second one is told; null: the likelier one is."
    )
    lora: LoRAOut | None = Field(description="Where what was learnt stands beside the body's layers.")


class BytesByPartOut(Out):
    """Bytes of the weights in float32, by what they are for."""

    embedding: int
    attention: int
    feed_forward: int
    norms: int
    head: int = Field(description="0 where it is tied to the embedding.")


class ImportedFileOut(Out):
    name: str
    bytes: int
    sha256: str


class OriginOut(Out):
    """Where an imported model's files came from."""

    kind: Literal["folder", "upload", "hub"]
    location: str = Field(description="The path in the import directory, the files' names, or the repository.")
    revision: str | None = Field(description="The commit, of a repository.")
    format: Literal["safetensors", "gguf"]
    files: list[ImportedFileOut]


class TrainedOnOut(Out):
    """A text that a model learnt from."""

    dataset: str
    name: str | None
    sha256: str | None
    weight: float


class AncestorOut(Out):
    """A model that training went on from, as it was then; it may be gone."""

    name: str
    source: Literal["builtin", "job", "import", "checkpoint", "gone"]
    sha256: str | None
    job: str | None
    datasets: list[TrainedOnOut]
    origin: OriginOut | None
    licence: str | None


class ProgressOut(Out):
    """`done` of `total` steps."""

    stage: str
    done: int
    total: int


class ModelOut(Out):
    object: Literal["model"] = "model"
    name: str
    family: Literal["gpt2", "llama", "word2vec", "classifier", "adapter"] = Field(
        description="`word2vec` models and classifiers do not generate; an `adapter` does, beside its `base_model`."
    )
    config: AdapterConfigOut | ClassifierConfigOut | ModelConfigOut | WordVectorsConfigOut
    classes: list[str] | None = Field(description="That a classifier tells, in the order of its probabilities.")
    threshold: float | None = Field(description="Of a classifier of two classes.")
    tokenizer: str
    parameters: int
    size_bytes: int
    sha256: str = Field(description="Of the file that holds the weights.")
    source: Literal["builtin", "job", "import", "checkpoint"]
    base_model: str | None = Field(description="The model that training went on from.")
    job: str | None = Field(description="The job that made it.")
    licence: str | None
    chat: bool = Field(description="Whether it has a chat template, so that it takes `messages`.")
    state: Literal["unloaded", "loading", "loaded"] = Field(description="In memory or not; a request loads it.")
    progress: ProgressOut | None = Field(description="How far the loading has come, while it is `loading`.")
    available: bool
    hint: str | None = Field(description="What to do where its files are not on this machine.")
    created_at: int | None
    memory_bytes: int = Field(description="Of its weights in float32: what loading it, and reading it again, takes.")
    held_bytes: int = Field(
        description="What memory holds of its weights now, packed and read again; 0 where it is not in memory."
    )
    bytes_by_part: BytesByPartOut
    origin: OriginOut | None = Field(description="Of an imported model.")
    datasets: list[TrainedOnOut] = Field(description="What its job learnt from.")
    ancestors: list[AncestorOut] = Field(description="The models it goes back to, nearest first.")


class ModelQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, description="The name that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)


class SourceIn(In):
    """Where the files lie: `folder` (in the import directory) or `hub`."""

    folder: StoredText | None = Field(None, min_length=1, max_length=MAX_PATH_CHARACTERS)
    hub: StoredText | None = Field(None, min_length=1, max_length=MAX_PATH_CHARACTERS)
    revision: StoredText | None = Field(None, min_length=1, max_length=200, description="Of `hub`; by default `main`.")
    file: StoredText | None = Field(None, min_length=1, max_length=200, description="The GGUF file of `hub` to take.")

    @model_validator(mode="after")
    def _is_one(self) -> SourceIn:
        if (self.folder is None) == (self.hub is None):
            raise PydanticCustomError("one_source", "give either folder or hub")
        if self.folder is not None and (self.revision is not None or self.file is not None):
            raise PydanticCustomError("one_source", "revision and file belong to hub")
        return self


class ModelCreate(In):
    model_config = an_example(name="gpt2", source={"hub": "openai-community/gpt2"})

    name: StoredText = Field(max_length=200)
    source: SourceIn
    tokenizer: StoredText | None = Field(
        None, max_length=200, description="A tokenizer of this machine that fits; by default the files' own."
    )
    licence: Licence | None = None


class ExportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal["huggingface", "gguf", "peft"] = Field(
        "huggingface", description="Of an adapter: merged into its base, or alone as `peft` loads it."
    )
    type: Literal["f32", "f16", "q8_0"] = Field("f32", description="Of the weights; `q8_0` in GGUF alone.")


class DeletedModelOut(Out):
    name: str
    deleted: Literal[True] = True
