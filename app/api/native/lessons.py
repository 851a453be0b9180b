"""/lessons: the book's steps on small numbers, one route a step. Nothing is kept of any."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.pieces import LongWorkDep
from app.errors import DataMissing, DatasetNotFound, TooLarge
from app.schemas.lessons import (
    AttentionIn,
    AttentionOut,
    CollateIn,
    CollateOut,
    CrossEntropyIn,
    CrossEntropyOut,
    FeedForwardIn,
    FeedForwardOut,
    LabelledIn,
    LabelledOut,
    LayerNormIn,
    LayerNormOut,
    MixtureIn,
    MixtureOut,
    PromptIn,
    PromptOut,
    SamplingIn,
    SamplingOut,
    ShortcutsIn,
    ShortcutsOut,
    SizeIn,
    SizeOut,
    SplitIn,
    SplitOut,
    UntrainedIn,
    UntrainedOut,
    VocabularyIn,
    VocabularyOut,
)
from app.services import lesson_labelled, lesson_layers, lesson_numbers, lesson_texts, untrained

router = APIRouter(prefix="/lessons", tags=["lessons"])


@router.post("/mixture")
def mixture(body: MixtureIn) -> MixtureOut:
    """How often each source of a mixture is gone through (section 1.5)."""
    return lesson_texts.mixture(body)


@router.post("/split")
def split(body: SplitIn) -> SplitOut:
    """A text in words and punctuation (section 2.2)."""
    return lesson_texts.split(body)


@router.post("/vocabulary", responses=refusals(DatasetNotFound, DataMissing, TooLarge))
def vocabulary(body: VocabularyIn, runtime: RuntimeDep) -> VocabularyOut:
    """The words of a dataset, numbered, and a sentence in their numbers (sections 2.3 and 2.4)."""
    return lesson_texts.vocabulary(runtime, body)


@router.post("/attention")
def attention(body: AttentionIn) -> AttentionOut:
    """Attention over some vectors, step by step (sections 3.3 to 3.6)."""
    return lesson_numbers.attention(body)


@router.post("/layer-norm")
def layer_norm(body: LayerNormIn) -> LayerNormOut:
    """Rows before and after layer normalisation (section 4.2)."""
    return lesson_numbers.layer_norm(body)


@router.post("/feed-forward")
def feed_forward(body: FeedForwardIn) -> FeedForwardOut:
    """GELU beside ReLU, and the shapes of a feed-forward part (section 4.3)."""
    return lesson_layers.feed_forward(body)


@router.post("/shortcuts")
def shortcuts(body: ShortcutsIn) -> ShortcutsOut:
    """Gradients of a deep network without shortcuts and with them (section 4.4)."""
    return lesson_numbers.shortcuts(body)


@router.post("/size")
def size(body: SizeIn) -> SizeOut:
    """What a GPT of the book's weighs, part by part (section 4.6), also as a classifier (section 6.5)."""
    return lesson_numbers.size(body)


@router.post("/untrained", responses=refusals(DataMissing))
async def look_at_untrained(body: UntrainedIn, runtime: RuntimeDep, long_work: LongWorkDep) -> UntrainedOut:
    """What the 124M GPT writes and guesses before it is trained (sections 4.7 and 5.1). Takes some seconds."""
    return await to_thread.run_sync(lambda: untrained.look(runtime, body), limiter=long_work)


@router.post("/sampling")
def sampling(body: SamplingIn) -> SamplingOut:
    """Temperature, top-k and draws from some logits (section 5.3)."""
    return lesson_numbers.sampling(body)


@router.post("/cross-entropy")
def cross_entropy(body: CrossEntropyIn) -> CrossEntropyOut:
    """The loss of some logits; targets of -100 do not count (sections 5.1 and 7.3)."""
    return lesson_numbers.cross_entropy(body)


@router.post("/labelled", responses=refusals(DatasetNotFound, DataMissing, TooLarge))
def labelled(body: LabelledIn, runtime: RuntimeDep) -> LabelledOut:
    """Rows with labels as they are prepared for a classifier (sections 6.2 and 6.3)."""
    return lesson_labelled.prepared(runtime, body)


@router.post("/prompt", responses=refusals(DataMissing))
def prompt(body: PromptIn, runtime: RuntimeDep) -> PromptOut:
    """A task in a prompt style of the book's (section 7.2)."""
    return lesson_texts.prompt(runtime, body)


@router.post("/collate")
def collate(body: CollateIn) -> CollateOut:
    """Rows of ids as one batch of inputs and targets (section 7.3)."""
    return lesson_texts.collate(body)
