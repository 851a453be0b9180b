"""POST /classify: texts to classes. Sizes are judged before anything is computed. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from app.errors import InvalidRequest, TooLarge
from app.schemas.classify import MAX_EXPLAINED, ClassifyIn, ClassifyOut
from app.services import tokens
from app.services.classifiers import Opened
from app.services.gate import ComputeGate
from app.services.runtime import Runtime

if TYPE_CHECKING:  # torch takes a second to import
    from app.llm.model.classifier import Classifier
    from app.llm.verdict import Shares


class Abandoned(Exception):
    """Nobody waits for the verdicts any more."""


@dataclass(frozen=True)
class Question:
    """One call, checked. `answer` computes it."""

    body: ClassifyIn
    classifier: Opened
    ids: list[list[int]]  # of each text
    gate: Callable[[], ComputeGate]

    def answer(self, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
        """The JSON of a ClassifyOut, in one piece; computed in turn with the engines. Not for the event loop.

        Raises:
            Abandoned: `is_wanted` said no between two passes.
            DataMissing: the files are gone or damaged.
        """
        return iter([self._computed(is_wanted).model_dump_json().encode()])

    def _computed(self, is_wanted: Callable[[], bool]) -> ClassifyOut:
        gate = self.gate()

        def in_turn(work: Callable[[], Any]) -> Any:
            if not is_wanted():
                raise Abandoned
            with gate:
                return work()

        shape = self.classifier.shape
        threshold = shape.threshold if self.body.threshold is None else self.body.threshold
        with self.classifier.network.lent() as network:
            told, chances = self._verdicts(network, threshold, in_turn)
            shares = self._shares(network, told, in_turn) if self.body.explain else {}
        used = sum(min(len(ids), shape.max_tokens) for ids in self.ids)
        return ClassifyOut.model_validate(
            {
                "model": self.classifier.name,
                "classes": list(shape.classes),
                "threshold": threshold,
                "data": [self._row(n, told[n], chances[n], shares.get(n)) for n in range(len(self.ids))],
                "usage": {"prompt_tokens": used, "total_tokens": used},
            }
        )

    def _verdicts(
        self, network: Classifier, threshold: float | None, in_turn: Callable[[Callable[[], Any]], Any]
    ) -> tuple[dict[int, int], dict[int, list[float]]]:
        """The class told of each text, and the probabilities of all classes, by the text's number."""
        from app.llm import verdict
        from app.llm.class_report import verdicts

        told: dict[int, int] = {}
        chances: dict[int, list[float]] = {}
        passes = verdict.probabilities(network, self.classifier.shape, self.ids)
        while (found := in_turn(lambda: next(passes, None))) is not None:
            numbers, rows = found
            told |= zip(numbers, verdicts(rows, threshold).tolist(), strict=True)
            chances |= zip(numbers, rows.tolist(), strict=True)
        return told, chances

    def _shares(
        self, network: Classifier, told: dict[int, int], in_turn: Callable[[Callable[[], Any]], Any]
    ) -> dict[int, Shares]:
        from app.llm import verdict

        shape = self.classifier.shape
        found: dict[int, Shares] = {}
        for number in sorted(told):
            found[number] = in_turn(partial(verdict.shares, network, shape, self.ids[number], told[number]))
        return found

    def _row(self, number: int, told: int, chances: list[float], shares: Shares | None) -> dict[str, Any]:
        shape, ids = self.classifier.shape, self.ids[number]
        return {
            "index": number,
            "label": shape.classes[told],
            "probabilities": dict(zip(shape.classes, chances, strict=True)),
            "tokens": min(len(ids), shape.max_tokens),
            "truncated": len(ids) > shape.max_tokens,
            "explanation": None if shares is None else self._explained(self.body.texts[number], shares.tokens),
            "padding_share": None if shares is None else shares.padding,
        }

    def _explained(self, text: str, shares: list[float]) -> list[dict[str, Any]]:
        """The text's tokens, as far as they were read, each with its share."""
        read = self.classifier.tokenizer.tokenize(text)[: len(shares)]
        return [
            {
                "id": one.id,
                "text": text[one.start : one.end],
                "start": one.start,
                "end": one.end,
                "share": own,
            }
            for one, own in zip(read, shares, strict=True)
        ]


def prepare(runtime: Runtime, body: ClassifyIn) -> Question:
    """Find the classifier and check everything before anything is computed. Takes a while: not for the event loop.

    Raises:
        ModelNotFound, CheckpointNotFound, DataMissing, WrongModel: as `Classifiers.get`.
        InvalidRequest: a text without a token, or a threshold for more than two classes.
        UnknownWord: the model's word tokenizer does not know a word.
        TooLarge: more text than one call may bring, or more texts than are explained.
    """
    tokens.check_size(body.texts, runtime.settings.max_text_bytes, param="input")
    if body.explain and len(body.texts) > MAX_EXPLAINED:
        told = f"{len(body.texts)} texts are more than the {MAX_EXPLAINED} that one call explains"
        raise TooLarge(f"explain: {told}", param="explain")
    classifier = runtime.classifiers.get(body.model, runtime.database.owner)
    classes = classifier.shape.classes
    if body.threshold is not None and len(classes) != 2:
        told = f"{classifier.name} tells {len(classes)} classes; a threshold is for two"
        raise InvalidRequest(f"threshold: {told}", param="threshold")
    lists = []
    for index, text in enumerate(body.texts):
        param = "input" if isinstance(body.input, str) else f"input.{index}"
        ids = tokens.encode(classifier.tokenizer, text, parse_special=False, param=param)
        if not ids:
            raise InvalidRequest(f"{param}: there is no token in it", param=param)
        lists.append(ids)
    return Question(body, classifier, lists, lambda: runtime.models.cpu_gate)
