"""Two models side by side: configuration, size, lineage, training, and what was measured of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import ClassVar
from urllib.parse import urlencode

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import ReadSession, RuntimeDep
from app.api.pages import model_facts
from app.api.pages.render import render
from app.db.session import Session
from app.errors import AppError
from app.services import class_matrix, evaluations, family_tree, model_history
from app.services.class_matrix import Asked, Matrix
from app.services.evaluations import Measured
from app.services.family_tree import Kin
from app.services.model_history import Made
from app.services.model_info import ModelInfo
from app.services.runtime import Runtime

router = APIRouter(prefix="/ui/compare", include_in_schema=False)

MAX_EVALUATIONS = 200
"""Of each model, the newest."""


@dataclass(frozen=True)
class Side:
    """One of the two."""

    model: ModelInfo
    tree: Kin
    made: Made | None
    measured: Sequence[Measured]

    @property
    def facts(self) -> dict[str, str]:
        """What is told of any model, by its name."""
        model, made = self.model, self.made
        told = {
            "family": model.family,
            "parameters": f"{model.parameters:,}",
            "tokenizer": model.tokenizer,
            "comes": model_facts.SOURCES[model.source],
            "goes on from": model.base_model or "nothing",
            "answers chats": "yes" if model.chat else "no",
            "licence": model.licence or "–",
        }
        trained = {} if made is None else {
            "recipe": made.job.recipe,
            "steps": f"{made.step:,}",
            "loss at the end": model_facts.figure(made.loss),
            "validation loss at the end": model_facts.figure(made.val_loss),
        }  # fmt: skip
        texts = ", ".join(one["name"] or one["dataset"] for one in model.datasets)
        return told | ({"learnt from": texts} if texts else {}) | trained


@dataclass(frozen=True)
class Line:
    """A row of a table of both."""

    name: str
    a: str
    b: str

    @property
    def differs(self) -> bool:
        return self.a != self.b


@dataclass(frozen=True)
class Both:
    """An evaluation of each that measured the same; figures by name."""

    a: Measured
    b: Measured
    figures: list[Line]
    matrices: tuple[Matrix, Matrix] | None = None
    """Of classifiers, what each mistakes for what."""


@dataclass(frozen=True)
class ComparePage:
    template: ClassVar[str] = "compare.html"
    place: ClassVar[str] = "models"
    facts: ClassVar[ModuleType] = model_facts

    names: Sequence[str]
    a: str
    b: str
    sides: tuple[Side, Side] | None = None
    both: Sequence[Both] = ()
    refusal: str = ""

    @property
    def about(self) -> list[Line]:
        return _lines([side.facts for side in self.sides or ()])

    @property
    def config(self) -> list[Line]:
        return _lines([model_facts.config(side.model) for side in self.sides or ()])

    @property
    def most_bytes(self) -> int:
        return max(max(side.model.bytes_by_part.values()) for side in self.sides or ())

    @property
    def generate_address(self) -> str:
        return f"/ui/generate?{urlencode({'model': self.a, 'against': self.b}, safe=':@')}"

    @property
    def may_generate(self) -> bool:
        return all(side.model.writes and side.model.available for side in self.sides or ())


@router.get("")
def compare(runtime: RuntimeDep, session: ReadSession, a: str = "", b: str = "") -> HTMLResponse:
    """Show two models beside one another, and the form that chooses them."""
    names = [model.name for model in runtime.catalogue.list(session)]
    a = a or names[0]
    b = b or next((name for name in names if name != a), a)
    try:
        sides = (_side(session, runtime, a), _side(session, runtime, b))
    except AppError as error:
        return render(ComparePage(names, a, b, refusal=error.message), status=error.status)
    return render(ComparePage(names, a, b, sides, _both(session, sides)))


def _side(session: Session, runtime: Runtime, name: str) -> Side:
    model = runtime.catalogue.info(session, name)
    measured, _ = evaluations.page(session, model, None, MAX_EVALUATIONS)
    return Side(model, family_tree.tree(session, model), model_history.made(session, model), measured)


def _both(session: Session, sides: tuple[Side, Side]) -> list[Both]:
    """What measured both, newest first: the newest of each where there are several alike."""
    one, other = (_newest(side.measured) for side in sides)
    pairs = [(each, other[key]) for key, each in one.items() if key in other]
    return [Both(a, b, _lines([_figures(a), _figures(b)]), _matrices(session, sides, a, b)) for a, b in pairs]


def _newest(measured: Sequence[Measured]) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for each in measured:
        found.setdefault(each.key, each)
    return found


def _matrices(session: Session, sides: tuple[Side, Side], a: Measured, b: Measured) -> tuple[Matrix, Matrix] | None:
    if a.kind != "accuracy":
        return None
    one, other = (
        class_matrix.matrix(session, side.model.name, Asked(measured.job))
        for side, measured in zip(sides, (a, b), strict=True)
    )
    return one, other


def _lines(sides: list[dict[str, str]]) -> list[Line]:
    return [Line(name, *(side.get(name, "–") for side in sides)) for name in dict.fromkeys(n for s in sides for n in s)]


def _figures(measured: Measured) -> dict[str, str]:
    return {name.replace("_", " "): model_facts.figure(value) for name, value in measured.figures.items()}
