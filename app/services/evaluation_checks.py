"""Whether an evaluation can be done: its models are there and of the right kind, its rows have what it reads.

As `job_checks` for training: everything is asked before a row is written.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables.job import JobRow
from app.errors import AppError, InvalidRequest, MissingField, NoChatTemplate, UnknownField, WrongModel
from app.llm.config import AdapterConfig, ClassifierConfig, ModelConfig
from app.schemas.evaluation import EvaluateSpec, JudgeSpec
from app.schemas.job import JobCreate
from app.services import addresses, datasets, extras, model_files
from app.services.addresses import BadAddress
from app.services.choice_rows import choice_of
from app.services.evaluation_rows import ROLES, EvaluationRows, check_label, columns_of, question_of, words_of
from app.services.job_checks import FROM_BYTES
from app.services.job_rows import LOOKED_AT_BYTES, encoded
from app.services.model_info import ModelInfo
from app.services.recipe import refuse_others
from app.services.runtime import Runtime

RECIPE = "evaluate"
DEFAULT_WINDOW = 512
DRAWN_SEEDS = 2**31
SETTINGS: dict[str, tuple[str, ...]] = {
    "perplexity": ("window", "stride"),
    "accuracy": (),
    "answers": ("prompt_style", "max_new_tokens"),
    "judge": ("prompt_style", "max_new_tokens", "judge", "pairwise"),
    "choices": ("form", "num_fewshot"),
}
"""What each kind has beside its models and rows."""
TEXTS = ("perplexity", "accuracy")
"""Kinds that read a text of each row."""
OF_TRAINING = ("tokenizer", "validation", "test", "name", "devices")
STYLED = ("alpaca", "phi3", "plain")


def row_of(runtime: Runtime, body: JobCreate, job_id: str) -> JobRow:
    """The job's row, still to be written.

    Raises:
        AppError: what is wrong with the request, and which field.
    """
    spec = _checked(body)
    assert isinstance(body.dataset, str), "_checked() saw to it"
    assert isinstance(body.model, str), "as well"
    seed = secrets.randbelow(DRAWN_SEEDS) if body.seed is None else body.seed
    with runtime.database.read() as session:
        infos = _models(session, runtime, body.model, spec)
        if spec.judge is not None:
            _check_judge(session, runtime, spec.judge)
        dataset = datasets.read(session, body.dataset, "dataset")
    columns = columns_of(spec.kind, dataset, body.columns)
    settings = _settings(spec, infos)
    rows = EvaluationRows(dataset, columns, spec.max_rows, seed)
    if dataset.rows is not None:
        rows.check()
    if spec.num_fewshot and spec.num_fewshot >= rows.count:
        told = f"so many examples are to be drawn from the other rows, and there are {rows.count - 1}"
        raise InvalidRequest(f"evaluate.num_fewshot: {told}", param="evaluate.num_fewshot")
    if "messages" in columns:
        _check_styles(spec, infos)
    _check_lines(runtime, spec.kind, rows, infos)
    steps = rows.count * len(infos) if dataset.rows is not None else None
    return JobRow(
        id=job_id,
        recipe=RECIPE,
        name=f"{RECIPE}-{job_id[-10:]}",  # of no model, and nobody else's
        status="queued",
        datasets=[{"dataset": dataset.id, "weight": 1.0}],
        model={"name": body.model},
        tokenizer=infos[0].tokenizer,
        columns=columns,
        validation={"fraction": 0.0},
        train={},
        evaluate=settings,
        judge_key=None if spec.judge is None else spec.judge.api_key,
        device=body.device,
        devices=1,
        priority=body.priority,
        seed=seed,
        total_steps=steps,
        webhook_url=None if body.webhook is None else body.webhook.url,
        webhook_secret=None if body.webhook is None else body.webhook.secret,
    )


def _checked(body: JobCreate) -> EvaluateSpec:
    """The part of the request that says what to measure, if the rest is an evaluation's."""
    spec = body.evaluate
    if spec is None:
        raise MissingField("evaluate: say what to measure, as in {kind: perplexity}", param="evaluate")
    refuse_others(body, "train", body.train.model_dump(exclude_unset=True), set())
    for field in OF_TRAINING:
        if field in body.model_fields_set and getattr(body, field) not in (None, 1):
            raise UnknownField(f"{field}: recipe {RECIPE} has no such setting", param=field)
    if not isinstance(body.model, str):
        raise InvalidRequest("model: name the model to measure", param="model")
    if not isinstance(body.dataset, str):
        told = "an evaluation reads one dataset: its id, and `columns` for what its rows hold"
        raise InvalidRequest(f"dataset: {told}", param="dataset")
    refuse_others(body, "columns", body.columns.model_dump(exclude_none=True), set(ROLES[spec.kind]))
    honoured = {"kind", "against", "max_rows", *SETTINGS[spec.kind]}
    refuse_others(body, "evaluate", spec.model_dump(exclude_unset=True), honoured)
    if spec.kind == "choices":
        extras.need_lm_eval("evaluate.kind")
    if spec.kind == "judge" and spec.judge is None:
        raise MissingField("evaluate.judge: say who marks, as in {model: …}", param="evaluate.judge")
    names = [body.model, *spec.against]
    for place, name in enumerate(spec.against):
        if name in names[: place + 1]:
            param = f"evaluate.against.{place}"
            raise InvalidRequest(f"{param}: {name[:100]!r} is measured already", param=param)
    if spec.pairwise and len(spec.against) != 1:
        raise InvalidRequest("evaluate.against: pairwise compares two: name one model here", param="evaluate.against")
    return spec


def _models(session: Session, runtime: Runtime, first: str, spec: EvaluateSpec) -> list[ModelInfo]:
    find = model_files.find_any if spec.kind == "accuracy" else model_files.find
    params = ["model", *(f"evaluate.against.{place}" for place in range(len(spec.against)))]
    infos = [
        _info(session, runtime, name, find, param) for name, param in zip([first, *spec.against], params, strict=True)
    ]
    if spec.kind == "accuracy":
        for info, param in zip(infos, params, strict=True):
            if not isinstance(info.config, ClassifierConfig):
                raise WrongModel(f"{param}: {info.name} is no classifier; accuracy is measured of one", param=param)
    return infos


def _info(session: Session, runtime: Runtime, name: str, find: Callable[..., Any], param: str) -> ModelInfo:
    """What is known of a model; a refusal is told of the field that named it."""
    try:
        find(session, runtime.storage, name)
        return runtime.catalogue.info(session, name)
    except AppError as error:
        raise type(error)(f"{param}: {error.message.removeprefix('model: ')}", param=param) from error


def _check_judge(session: Session, runtime: Runtime, judge: JudgeSpec) -> None:
    if judge.url is None:
        for field in ("api_key", "timeout_s"):
            if field in judge.model_fields_set and getattr(judge, field) is not None:
                param = f"evaluate.judge.{field}"
                raise UnknownField(f"{param}: of a server alone; give `url` as well", param=param)
        _info(session, runtime, judge.model, model_files.find, "evaluate.judge.model")
        return
    if "?" in judge.url or "#" in judge.url:
        told = "it ends with the path, `/v1` as a rule: what is asked is put behind it"
        raise InvalidRequest(f"evaluate.judge.url: {told}", param="evaluate.judge.url")
    try:
        addresses.check(judge.url, private=runtime.settings.judge_private_addresses)
    except BadAddress as error:
        raise InvalidRequest(f"evaluate.judge.url: {error}", param="evaluate.judge.url") from error


def _settings(spec: EvaluateSpec, infos: list[ModelInfo]) -> dict[str, Any]:
    """What the kind has, with its defaults; of the judge all but its key."""
    found = spec.model_dump(include={"kind", "against", "max_rows", *SETTINGS[spec.kind]})
    if spec.judge is not None:
        left_out = {"api_key"} | ({"timeout_s"} if spec.judge.url is None else set())
        found["judge"] = spec.judge.model_dump(exclude=left_out)
    if spec.kind == "perplexity":
        context = min(_context(info) for info in infos)
        window = found["window"] = spec.window or min(DEFAULT_WINDOW, context)
        found["stride"] = spec.stride or window
        if window > context:
            told = f"{window} tokens are more than the context of {context}"
            raise InvalidRequest(f"evaluate.window: {told}", param="evaluate.window")
        if found["stride"] > window:
            told = f"with {found['stride']} tokens from window to window, some of {window} would be read by none"
            raise InvalidRequest(f"evaluate.stride: {told}", param="evaluate.stride")
    return found


def _context(info: ModelInfo) -> int:
    config = info.config.body if isinstance(info.config, AdapterConfig) else info.config
    assert isinstance(config, ModelConfig), "find() refuses other kinds"
    return config.context_length


def _check_styles(spec: EvaluateSpec, infos: list[ModelInfo]) -> None:
    """Pass models that take conversations."""
    if spec.prompt_style in STYLED:
        told = f"{spec.prompt_style} is for single tasks, and these rows are conversations"
        raise InvalidRequest(f"evaluate.prompt_style: {told}", param="evaluate.prompt_style")
    for info in infos:
        if not info.chat:
            raise NoChatTemplate(f"model: {info.name} has no chat template, and these rows are messages", param="model")


def _check_lines(runtime: Runtime, kind: str, rows: EvaluationRows, infos: list[ModelInfo]) -> None:
    """Read the rows, of a large dataset its beginning: the rest is seen to before the first one is answered."""
    most_bytes = LOOKED_AT_BYTES if rows.dataset.size_bytes > FROM_BYTES else None
    if kind not in TEXTS:
        read = choice_of if kind == "choices" else question_of
        for line in rows.lines(runtime.storage, most_bytes):
            read(line, rows.columns)
        return
    with runtime.database.read() as session:
        words = words_of(session, runtime.tokenizers, (info.tokenizer for info in infos))
    for line, text in rows.texts(runtime.storage, most_bytes):
        for info in infos:
            if isinstance(info.config, ClassifierConfig):
                check_label(line, rows.columns, info.name, info.config)
        for tokenizer in words:
            encoded(tokenizer, line, text)
