"""A text as one vector: the mean over its tokens of the states after the final norm, of length 1.

These models are trained to continue text, not for retrieval: near vectors mean texts that the model reads alike.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import ContextLengthExceeded, InvalidRequest
from app.schemas.openai import EmbeddingIn
from app.services import tokens
from app.services.generation import text_ids
from app.services.loaded_model import LoadedModel
from app.services.runtime import Runtime


@dataclass(frozen=True)
class TextVectors:
    """A row a text: float32 (N, E), each of length 1."""

    model_name: str
    rows: list[NDArray[np.float32]]
    prompt_tokens: int


async def embed(runtime: Runtime, body: EmbeddingIn) -> TextVectors:
    """The vectors of all inputs, in order; each text takes its turn with the engines.

    Raises:
        InvalidRequest: an input without a token, or `dimensions` other than the model's.
        TokenOutOfRange: an id is not the model's.
        ContextLengthExceeded: an input is longer than the context.
        ModelNotFound, CheckpointNotFound, DataMissing, NotReady: as `Models.wait_for`.
        TooLarge, UnknownWord: as `generation.prepare`.
    """
    texts = [each for each in body.input if isinstance(each, str)]
    tokens.check_size(texts, runtime.settings.max_text_bytes, param="input")
    model = await runtime.model(body.model)
    if body.dimensions is not None and body.dimensions != model.config.emb_dim:
        told = f"dimensions: the vectors of {model.name} have {model.config.emb_dim}, and are not shortened"
        raise InvalidRequest(told, param="dimensions")
    lists = await asyncio.to_thread(_checked, model, body)
    rows = [await asyncio.to_thread(_vector, model, ids) for ids in lists]  # who hangs up is noticed between them
    return TextVectors(model.name, rows, sum(map(len, lists)))


def _checked(model: LoadedModel, body: EmbeddingIn) -> list[list[int]]:
    lists = []
    for index, given in enumerate(body.input):
        param = "input" if len(body.input) == 1 else f"input.{index}"
        if isinstance(given, str):
            ids = text_ids(model, given, param)
        else:
            tokens.check_ids(given, model.config.vocab_size, param)
            ids = given
        if len(ids) > model.config.context_length:
            told = f"{len(ids):,} tokens are more than the {model.config.context_length:,} of the context"
            raise ContextLengthExceeded(f"{param}: {told} of {model.name}", param=param)
        lists.append(ids)
    return lists


def _vector(model: LoadedModel, ids: list[int]) -> NDArray[np.float32]:
    import torch
    from torch.nn import functional as F

    from app.llm.model.piecewise import PiecewisePass

    with model.network.lent() as network:
        read = PiecewisePass(network, ids)
        steps, is_done = read.steps(), False
        while not is_done:
            with model.gate:  # handed on after each step, so that no stream waits for a whole text
                is_done = next(steps, read) is read
    with torch.inference_mode():
        vector: NDArray[np.float32] = F.normalize(read.states[0].float().mean(0), dim=0).cpu().numpy()
    return vector
