"""The wire of evaluations: what is to be measured, and what came of each row."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import In, Out, StoredText

Kind = Literal["perplexity", "accuracy", "answers", "judge", "choices"]
MAX_AGAINST = 4
MAX_ROWS = 100_000
MAX_SHOTS = 64


class JudgeSpec(In):
    """Who marks answers: a model here, or one of an OpenAI-compatible server."""

    model: StoredText = Field(max_length=200, description="With `url`: what that server calls it.")
    url: str | None = Field(None, description="Of the server, up to `/v1`; omitted: the model is one of this service.")
    api_key: str | None = Field(
        None, min_length=1, max_length=500, pattern=r"^[!-~]+$", description="Sent to the server as a bearer token."
    )
    timeout_s: float = Field(60.0, gt=0, le=600, description="Of one request to a server.")
    max_new_tokens: int = Field(16, ge=1, le=2000, description="Of a reply.")


class EvaluateSpec(In):
    """What an evaluation measures; a setting that its kind does not have is refused."""

    kind: Kind
    against: Annotated[list[StoredText], Field(max_length=MAX_AGAINST)] = Field(
        default_factory=list, description="Further models, on the same rows: a tuned model's base, for one."
    )
    max_rows: int | None = Field(
        None, ge=1, le=MAX_ROWS, description="Of rows so many, drawn by `seed`; of a text its first windows."
    )
    window: int | None = Field(
        None, ge=1, description="perplexity: tokens that are read at a time; omitted: at most 512."
    )
    stride: int | None = Field(None, ge=1, description="perplexity: tokens from window to window; omitted: a window's.")
    prompt_style: Literal["auto", "chat", "alpaca", "phi3", "plain"] = Field(
        "auto", description="answers, judge. auto: the model's chat template; without one alpaca for instructions."
    )
    max_new_tokens: int = Field(256, ge=1, le=4096, description="answers, judge: of an answer.")
    form: Literal["plain", "question", "letters"] = Field(
        "plain",
        description="choices. plain: the question as it is, behind it a choice; question: as `Question: … Answer:`; "
        "letters: the choices are listed by letter, and a letter is chosen.",
    )
    num_fewshot: int = Field(
        0, ge=0, le=MAX_SHOTS, description="choices: other rows, with their answers, before the question."
    )
    judge: JudgeSpec | None = Field(None, description="judge: who marks.")
    pairwise: bool = Field(
        False, description="judge: compare `model` with the one in `against`, each pair in both orders."
    )


class OfModel(Out):
    """What came of a row with one model; null where the kind has no such thing."""

    model: str
    prompt: str | None = Field(description="As the model read it.")
    answer: str | None
    score: float | None = Field(description="The judge's, from 0 to 100.")
    verdict: str | None = Field(description="pairwise, of `model`: `win`, `loss`, `tie`, `disagreed`, `unparsable`.")
    figures: dict[str, Any]
    judgements: list[dict[str, Any]] = Field(
        description="Every question to the judge: `prompt`, `reply` as it came, what it says, `error`, `attempts`."
    )
    error: str | None


class ResultOut(Out):
    """One row of the dataset (of a text, one window), the models side by side."""

    row: int = Field(description="Its line; of a text, the window's number.")
    reference: str | None
    models: list[OfModel]


class ResultQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, ge=0, le=2**31 - 1, description="The row that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)
    model: StoredText | None = Field(
        None, max_length=200, description="Whose `answer` is meant; omitted: the first one."
    )
    reference: StoredText | None = Field(None, description="Rows with this reference alone, a class's for one.")
    answer: StoredText | None = Field(None, description="Rows that `model` answered so alone, or told as this class.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="accuracy, with `answer`, of two classes: tell the second one from this probability on, as if the "
        "classifier had been asked so.",
    )


class EvaluationOut(Out):
    """An evaluation that has ended, as it stands for one model."""

    object: Literal["evaluation"] = "evaluation"
    job: str = Field(description="Its rows are at `/jobs/{job_id}/results`, its report at `/jobs/{job_id}/report`.")
    kind: Kind
    dataset: str
    dataset_name: str | None = Field(description="Null: it is gone.")
    models: list[str] = Field(description="All that were measured, side by side.")
    settings: dict[str, Any] = Field(description="How it was measured.")
    finished_at: int
    figures: dict[str, Any] = Field(description="The report's of this model, but for tables and single rows.")


class EvaluationsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: StoredText | None = Field(None, description="The job that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)


class EvaluationReportOut(Out):
    """What all rows together say of each model. Null where there is nothing to divide by."""

    object: Literal["evaluation.report"] = "evaluation.report"
    kind: Kind
    dataset: str
    models: list[dict[str, Any]] = Field(
        description="`model`, `rows`, `failed`, and the kind's figures. perplexity: `tokens`, `bytes`, "
        "`nats_per_token`, `perplexity`, `bits_per_byte`. accuracy: as the report of a classify job. answers: "
        "`exact_match`, `token_f1`, `answer_tokens`. judge, besides: `score`, `scored`, `unparsable`, "
        "`judge_failed`; pairwise `against` and `verdicts`. choices: `acc`, `acc_norm`, each with `…_stderr`, "
        "`chance` (what guessing would have), `cut` (rows whose prompt did not fit whole)."
    )
