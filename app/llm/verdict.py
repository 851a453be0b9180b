"""What a classifier says of texts, and which of their tokens had it say so. Knows no tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.llm.config import ClassifierConfig
from app.llm.data.examples import pad
from app.llm.data.labelled import LabelledIds, longest, places_read
from app.llm.model.classifier import Classifier

AT_ONCE = 32
"""Texts of one pass."""


def probabilities(
    model: Classifier, shape: ClassifierConfig, texts: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], NDArray[np.float64]]]:
    """Of each class, (N, C), of the texts whose numbers come with them: those of like length together, one pass a time.

    Args:
        model: in evaluation mode.
        texts: ids, one at least of each; what is longer than `shape.max_tokens` is cut.
    """
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    for start in range(0, len(order), AT_ONCE):
        numbers = order[start : start + AT_ONCE]
        with torch.inference_mode():
            ids, places = _joined(
                shape, [texts[number] for number in numbers], model.body.token_embedding.weight.device
            )
            yield numbers, model(ids, places).double().softmax(-1).cpu().numpy()


@dataclass(frozen=True)
class Shares:
    """Gradient × input, as shares: their sizes add up to 1. What speaks against the verdict is negative."""

    tokens: list[float]
    padding: float  # of all that fills the text up, where that is read


def shares(model: Classifier, shape: ClassifierConfig, text: Sequence[int], told: int) -> Shares:
    """How much each token of a text has to do with the verdict `told`.

    What is taken apart is the told class's logit above the mean of the others', to first order: the gradient by a
    token's embedding, times that (Simonyan et al. 2013; Shrikumar et al. 2016).
    """
    ids, places = _joined(shape, [text], model.body.token_embedding.weight.device)
    with torch.enable_grad():
        vectors = model.body.token_embedding(ids).detach().requires_grad_(True)  # (1, T, E)
        logits = model.classes_of(model.body.hidden_of(vectors), places)[0]
        others = (logits.sum() - logits[told]) / (len(logits) - 1)
        (gradient,) = torch.autograd.grad(logits[told] - others, vectors)
    parts = (gradient * vectors.detach()).sum(-1)[0].double().cpu()  # (T,)
    whole = float(parts.abs().sum()) or 1.0
    found = (parts / whole).tolist()
    own = min(len(text), shape.max_tokens)
    return Shares(found[:own], sum(found[own:]))


def _joined(shape: ClassifierConfig, texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids (B, T), as long as the longest text, or as all are where the last place is read; the places read, (B,)."""
    rows = [LabelledIds(list(text[: shape.max_tokens]), 0) for text in texts]
    length = shape.max_tokens if shape.reads == "last_place" else longest(rows)
    ids = pad([row.ids for row in rows], length, shape.pad_id).to(device)
    return ids, places_read(rows, shape.reads, length).to(device)
