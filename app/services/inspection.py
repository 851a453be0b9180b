"""A text to one forward pass, opened: every refusal first, then the numbers, within a budget of bytes.

Knows limits and turns; what a pass consists of is `app.llm.model.inspect`'s, how it is written `inspect_json`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from app.config import Settings
from app.errors import ContextLengthExceeded, InvalidRequest, NoChatTemplate, TokenOutOfRange, TooLarge
from app.llm.config import SamplingParams
from app.llm.model.inspect_view import View, sizes
from app.schemas.inspect import InspectIn
from app.services import tokens
from app.services.loaded_model import LoadedModel
from app.services.runtime import Runtime

_BY_HEAD = ("queries", "keys", "values", "products", "scores", "masked", "attention", "maps", "context")
_BY_LAYER = (*_BY_HEAD, "input", "residual", "norms", "logit_lens")
_OF_ALL_TOKENS = ("keys", "values")
_DRAW = ("logits", "next")
_USED_BY = {"top": ("logit_lens", "next"), "temperature": _DRAW, "top_k": _DRAW, "top_p": _DRAW, "min_p": _DRAW}


class Abandoned(Exception):
    """Nobody waits for the numbers any more."""


@dataclass(frozen=True)
class Inspection:
    """One call, checked: it fits the context and the budget. `open` computes it."""

    model: LoadedModel
    ids: list[int]
    view: View
    spec: InspectIn

    def open(self, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
        """Compute, taking turns with the engines, and hand out the JSON of an InspectOut. Not for the event loop.

        Raises:
            Abandoned: `is_wanted` said no between two steps.
            DataMissing, NotReady: the network is read again for it, and its files or the room for it are not there.
        """
        from app.llm.model.inspect import OpenedPass  # torch takes a second to import, and comes with the first model
        from app.schemas.inspect_json import Seen, written

        with self.model.network.lent() as network:
            opened = OpenedPass(network, self.ids, self.view)
            steps = opened.steps()
            is_done = False
            while not is_done:
                if not is_wanted():
                    raise Abandoned
                with self.model.gate:
                    is_done = next(steps, self) is self
        tensors = {name: each.numpy() for name, each in opened.tensors.items()}
        token_bytes = self.model.tokenizer.token_bytes
        return written(Seen(self.model.name, self.ids, self.view, self.spec.encoding, tensors, token_bytes))


async def prepare(runtime: Runtime, spec: InspectIn) -> Inspection:
    """Find the model, loading it if need be, and check everything before anything is computed.

    Raises:
        InvalidRequest: not one of `text`, `ids` and `messages`; an index that is not there, or twice; a setting that
            nothing wanted is made with.
        ModelNotFound, CheckpointNotFound, DataMissing, NotReady: as `Models.wait_for`.
        NoChatTemplate: `messages` for a model that has no template.
        TokenOutOfRange: an id that the model does not have.
        UnknownWord: the model's word tokenizer does not know a word.
        ContextLengthExceeded: more tokens than the context.
        TooLarge: more text than one call may bring, or more numbers than the budget has room for.
    """
    param = _source(spec)
    _check_used(spec)
    texts = [spec.text] if spec.text is not None else [each.content for each in spec.messages or ()]
    tokens.check_size(texts, runtime.settings.max_text_bytes, param=param)
    model = await runtime.model(spec.model)
    return await asyncio.to_thread(_plan, model, spec, param, runtime.settings)


def _source(spec: InspectIn) -> str:
    """The field that says what is read."""
    given = [name for name in ("text", "ids", "messages") if getattr(spec, name) is not None]
    if len(given) != 1:
        told = f"not {' and '.join(given)}" if given else "one of them"
        raise InvalidRequest(f"give text, ids or messages, {told}", param=given[-1] if given else "text")
    return given[0]


def _check_used(spec: InspectIn) -> None:
    """Refuse a setting that would be ignored."""
    for field, wants in _USED_BY.items():
        is_given = field in spec.model_fields_set and getattr(spec, field) is not None
        if is_given and not set(wants) & set(spec.want):
            raise InvalidRequest(f"{field}: it counts for {' and '.join(wants)}, which are not wanted", param=field)


def _plan(model: LoadedModel, spec: InspectIn, param: str, settings: Settings) -> Inspection:
    """Takes up to a second for a long text: not for the event loop."""
    ids = _ids(model, spec)
    config = model.config
    if len(ids) > config.context_length:
        message = f"{len(ids):,} tokens are more than the {config.context_length:,} of the context of {model.name}"
        raise ContextLengthExceeded(f"{param}: {message}", param=param)
    view = View(
        want=frozenset(spec.want),
        layers=_chosen("layers", spec.layers, config.n_layers, f"layers of {model.name}"),
        heads=_chosen("heads", spec.heads, config.n_heads, f"heads of {model.name}"),
        tokens=_chosen("tokens", spec.tokens, len(ids), "tokens of the text"),
        top=spec.top,
        sampling=SamplingParams(
            max_new_tokens=1,
            temperature=spec.temperature,
            top_k=spec.top_k,
            top_p=spec.top_p,
            min_p=spec.min_p,
        ),
    )
    inspection = Inspection(model, ids, view, spec)
    _check_budget(inspection, settings.inspect_max_bytes)
    return inspection


def _ids(model: LoadedModel, spec: InspectIn) -> list[int]:
    if spec.ids is not None:
        vocab_size = model.config.vocab_size
        for place, token_id in enumerate(spec.ids):
            if not 0 <= token_id < vocab_size:
                message = f"{_short(token_id)} is no token of {model.name}; its ids are 0..{vocab_size - 1}"
                raise TokenOutOfRange(f"ids.{place}: {message}", param=f"ids.{place}")
        return spec.ids
    if spec.text is not None:
        ids = tokens.encode(model.tokenizer, spec.text, parse_special=False)
        if not ids:
            raise InvalidRequest(f"text: the tokenizer of {model.name} has no token for this text", param="text")
        return ids
    if model.chat_template is None:
        message = f"messages: {model.name} has no chat template; send a text, or name a chat model"
        raise NoChatTemplate(message, param="messages")
    return model.chat_template.encode(spec.messages or ())


def _chosen(field: str, numbers: Sequence[int] | None, count: int, of_what: str) -> tuple[int, ...]:
    """All of 0..count - 1, or those that the request names."""
    if numbers is None:
        return tuple(range(count))
    met: set[int] = set()
    for place, number in enumerate(numbers):
        if not 0 <= number < count:
            raise InvalidRequest(
                f"{field}.{place}: {_short(number)} is none of the {of_what}, which are 0..{count - 1}",
                param=f"{field}.{place}",
            )
        if number in met:
            raise InvalidRequest(f"{field}.{place}: {number} stands there twice", param=f"{field}.{place}")
        met.add(number)
    return tuple(numbers)


def _check_budget(inspection: Inspection, most: int) -> None:
    """Pass what is wanted if its numbers, told from shapes alone, take at most `most` bytes.

    Raises:
        TooLarge: they take more; names the field that would make them fewer.
    """
    view, seen = inspection.view, len(inspection.ids)
    found = sizes(inspection.model.config, seen, view)
    total = sum(found.values())
    if total <= most:
        return
    want = max(found, key=lambda each: found[each])
    counts = {"layers": len(view.layers), "heads": len(view.heads), "tokens": len(view.tokens)}
    if want not in _BY_HEAD:
        del counts["heads"]
    if want not in _BY_LAYER:
        del counts["layers"]
    if want in _OF_ALL_TOKENS:
        del counts["tokens"]
    field = next((name for name, count in counts.items() if count > 1), "want")
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    raise TooLarge(
        f"{field}: {want} for {told} of a text of {seen:,} takes {found[want]:,} bytes, and all that is wanted "
        f"{total:,}; one call may take {most:,} (INKLING_INSPECT_MAX_BYTES). Ask for fewer {field}, or send less text",
        param=field,
    )


def _short(number: int) -> str:
    """The number, without the thousands of digits that one in a request may have."""
    return str(number) if abs(number) < 10**20 else "a number of so many digits"
