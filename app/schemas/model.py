"""The wire of /models: what there is, and what each is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out


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


class ModelOut(Out):
    object: Literal["model"] = "model"
    name: str
    family: Literal["gpt2", "llama", "word2vec"] = Field(description="`word2vec` models do not generate.")
    config: ModelConfigOut | WordVectorsConfigOut
    tokenizer: str
    parameters: int
    size_bytes: int
    sha256: str = Field(description="Of the file that holds the weights.")
    source: Literal["builtin", "job"]
    base_model: str | None = Field(description="The model that training went on from.")
    job: str | None = Field(description="The job that made it.")
    licence: str | None
    chat: bool = Field(description="Whether it has a chat template, so that it takes `messages`.")
    state: Literal["unloaded", "loading", "loaded"] = Field(description="In memory or not; a request loads it.")
    available: bool
    hint: str | None = Field(description="What to do where its files are not on this machine.")
    created_at: int | None


class ModelQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, description="The name that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)
