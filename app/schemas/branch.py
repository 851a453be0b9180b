"""The wire of /branches: generated texts that are kept, each as it leaves another at one of its tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.schemas.base import In, Out, StoredText, Text, an_example
from app.schemas.generate import MAX_MESSAGES, Message, Sampling, TopTokenOut

MAX_BRANCH_BYTES = 4 * 1024 * 1024  # of its JSON: eight thousand tokens with five alternatives each
MAX_TREE_BRANCHES = 500
MAX_TOKENS = 1 << 16
MAX_TOKEN_BYTES = 4096  # a remote server's piece of a text may be long
MAX_MODEL_CHARACTERS = 500

Ending = Literal["stop", "length", "abort", "stopped", "broken"]
Bytes = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=MAX_TOKEN_BYTES)]


class AlternativeIn(In):
    """As `top` of POST /generate."""

    id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None
    text: Text
    bytes: Bytes | None
    logprob: float
    sampled_logprob: float | None


class BranchTokenIn(In):
    """As a token of POST /generate's answer."""

    id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None
    text: Text
    bytes: Bytes | None
    logprob: float | None
    sampled_logprob: float | None
    top: Annotated[list[AlternativeIn], Field(max_length=20)]
    chosen: bool = Field(False, description="Put there by a person, in place of what was drawn.")


class BranchIn(In):
    """A text that was generated: the first of a tree with what was asked, or one that leaves another at a token."""

    model_config = an_example(
        model="smollm2-135m-instruct",
        prompt="The sea was",
        sampling={"temperature": 0.8, "seed": 7},
        tokens=[{"id": 6834, "text": " calm", "bytes": [32, 99, 97, 108, 109], "logprob": -1.9,
                 "sampled_logprob": -1.6, "top": []}],
        finish_reason="length",
    )  # fmt: skip

    model: Annotated[StoredText, Field(min_length=1, max_length=MAX_MODEL_CHARACTERS)]
    prompt: Annotated[Text, Field(min_length=1)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    parent: Text | None = Field(None, description="The branch that it leaves; its tree's prompt or messages hold.")
    at: int | None = Field(
        None, ge=0, le=2**31 - 1, description="With `parent`: how many tokens of that one's line are its, too."
    )
    sampling: Sampling = Field(description="How its tokens were drawn, the seed among it.")
    tokens: Annotated[list[BranchTokenIn], Field(max_length=MAX_TOKENS)] = Field(description="Its own, behind `at`.")
    finish_reason: Ending = Field(description="As of POST /generate; `stopped` by a person, or its stream `broken`.")

    @model_validator(mode="after")
    def _begins_somewhere(self) -> BranchIn:
        given = [name for name in ("prompt", "messages", "parent") if getattr(self, name) is not None]
        if len(given) != 1:
            told = {"param": given[-1] if given else "prompt"}
            raise PydanticCustomError("one_beginning", "give one of prompt, messages and parent", told)
        if (self.parent is None) != (self.at is None):
            raise PydanticCustomError("at_of_parent", "parent and at belong together", {"param": "at"})
        return self


class BranchQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tree: str | None = Field(None, description="The branches of this tree, oldest first; omitted: one row a tree.")
    after: str | None = Field(None, description="The id that the page before ended with.")
    limit: int = Field(20, ge=1, le=MAX_TREE_BRANCHES)


class SamplingOut(Out):
    """The settings of /generate, with the defaults of those that were not said."""

    max_new_tokens: int | None
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float
    stop: list[str]
    seed: int | None


class BranchSummaryOut(Out):
    """A branch without its text."""

    id: str
    tree: str = Field(description="The id of the tree's first branch.")
    parent: str | None
    at: int = Field(description="Tokens of the parent's line that are its, too; 0 for a tree's first branch.")
    length: int = Field(description="Tokens of its line, from the tree's first to its own last.")
    model: str
    opening: str = Field(description="The first characters of what was asked; empty but for a tree's first branch.")
    excerpt: str = Field(description="The first characters of its own text.")
    sampling: SamplingOut
    finish_reason: Ending
    branches: int | None = Field(description="Of its tree; null where the list is of one tree.")
    created_at: int


class BranchTokenOut(Out):
    id: int | None
    text: str
    bytes: list[int] | None
    logprob: float | None
    sampled_logprob: float | None
    top: list[TopTokenOut]
    chosen: bool


class BranchOut(Out):
    """A branch with all that it takes to show it and to go on from it."""

    id: str
    tree: str
    parent: str | None
    at: int
    model: str
    prompt: str | None = Field(description="What the tree was asked, this or `messages`.")
    messages: list[Message] | None
    sampling: SamplingOut
    finish_reason: Ending
    tokens: list[BranchTokenOut] = Field(description="The whole line; its own begin at `at`.")
    created_at: int


class BranchDeletedOut(Out):
    id: str
    deleted: Literal[True] = True
    branches: int = Field(description="How many are gone: it and those that left it.")
