"""The wire of POST /classify and of the reports of classifiers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.schemas.base import In, Out, Text, an_example, is_utf8
from app.schemas.name_or import NameOr

MAX_TEXTS = 256
MAX_EXPLAINED = 32


Texts = Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]


def _one_is_utf8(value: str | list[str]) -> str | list[str]:
    return is_utf8(value) if isinstance(value, str) else value


class ClassifyIn(In):
    """Texts whose class is to be told."""

    model_config = an_example(model="spam-filter", input="You have won a prize! Call now.")

    model: str = Field(description="A classifier, or a checkpoint of one, `job_id@step`.")
    input: Annotated[str | list[Text], NameOr(Texts), AfterValidator(_one_is_utf8)] = Field(
        description=f"A text, or up to {MAX_TEXTS}."
    )
    explain: bool = Field(False, description="Tell how much each token has to do with the verdict.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Of two classes: from which probability on the second is told; omitted: its own."
    )

    @property
    def texts(self) -> list[str]:
        return [self.input] if isinstance(self.input, str) else self.input


class TokenShareOut(Out):
    """A token, and its share in the verdict; what speaks against it is negative."""

    id: int
    text: str
    start: int
    end: int
    share: float = Field(description="Gradient × input; the sizes of all shares of a text add up to 1.")


class VerdictOut(Out):
    index: int
    label: str
    probabilities: dict[str, float] = Field(description="Of each class.")
    tokens: int = Field(description="That were read.")
    truncated: bool = Field(description="The text is longer than the classifier reads.")
    explanation: list[TokenShareOut] | None
    padding_share: float | None = Field(description="With `explain`: of what fills the text up, where that is read.")


class TokensReadOut(Out):
    prompt_tokens: int
    total_tokens: int


class ClassifyOut(Out):
    object: Literal["classification"] = "classification"
    model: str
    classes: list[str]
    threshold: float | None
    data: list[VerdictOut]
    usage: TokensReadOut


class ClassScoreOut(Out):
    """Null where there is nothing to divide by."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    rows: int


class BinOut(Out):
    """Verdicts of like confidence."""

    low: float
    high: float
    rows: int
    confidence: float | None
    accuracy: float | None


class MistakeOut(Out):
    label: str
    told: str
    probability: float = Field(description="That was given to its own class.")
    dataset: str
    line: int
    text: str


class ClassReportOut(Out):
    """What a classifier makes of the rows that it did not learn from."""

    object: Literal["classification.report"] = "classification.report"
    part: Literal["test", "validation"] = Field(description="`test`: held out till the end.")
    rows: int
    accuracy: float
    accuracies: dict[str, float] = Field(description="Of train, validation and test, all of each.")
    macro_f1: float
    threshold: float | None = Field(description="Chosen on validation.")
    max_tokens: int
    confusion: list[list[int]] = Field(description="`confusion[i][j]`: rows of class i told as class j.")
    classes: list[ClassScoreOut]
    calibration: list[BinOut]
    calibration_error: float
    worst: list[MistakeOut]
    by_probability: list[list[int]] | None = Field(
        None,
        description="Of two classes: `[i][k]` rows of class i to which the second class was given a probability from "
        "k / 200 on and less than the next step, so that any threshold can be tried. Older reports have none.",
    )
