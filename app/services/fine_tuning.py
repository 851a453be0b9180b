"""OpenAI's fine-tuning jobs: the same jobs, asked for and spoken of in OpenAI's words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables.job import JobRow
from app.db.tables.job_list import Wanted
from app.errors import AppError, InvalidRequest, JobNotFound, ModelNotFound
from app.llm.config import PRESETS
from app.llm.train.config import ClassifyConfig, InstructConfig, LoopConfig, PreferenceConfig, TrainConfig
from app.schemas.job import JobCreate
from app.schemas.openai_fine_tuning import FineTuningCreate, HyperparametersIn
from app.services import datasets, job_checks, jobs
from app.services.jobs import Beside, Created
from app.services.runtime import Runtime

PURPOSE = "fine-tune"
RATES = ("learning_rate", "min_learning_rate")


@dataclass(frozen=True)
class Method:
    """What OpenAI's clients call a recipe."""

    name: str
    recipe: str
    config: type[LoopConfig]  # whose learning rate `learning_rate_multiplier` is of
    held_back: float = 0.0  # of the training file, to measure on, where no validation file is named

    @property
    def hyperparameters(self) -> str:
        return f"method.{self.name}.hyperparameters"


METHODS = {
    method.name: method
    for method in (
        Method("supervised", "instruct", InstructConfig, held_back=0.1),
        Method("dpo", "dpo", PreferenceConfig, held_back=0.1),
        Method("classification", "classify", ClassifyConfig, held_back=0.1),
        Method("pretrain", "pretrain", TrainConfig),
    )
}
BY_RECIPE = {method.recipe: method for method in METHODS.values()}
"""Jobs of other recipes are at /jobs alone."""


def create(runtime: Runtime, body: FineTuningCreate, idempotency_key: str | None = None) -> Created:
    """Queue the job that OpenAI's body asks for.

    Raises:
        AppError: as `jobs.create`, in the words of the body.
    """
    if body.method is not None and body.hyperparameters is not None:
        told = "hyperparameters: `method` holds them; give one of the two"
        raise InvalidRequest(told, param="hyperparameters")
    method = _method("supervised" if body.method is None else body.method.type)
    given = body.method.hyperparameters if body.method else body.hyperparameters or HyperparametersIn()
    with runtime.database.read() as session:
        for param in ("training_file", "validation_file"):
            _check_file(session, getattr(body, param), param)
        validation = _validation(session, body, method)
        model = _model(session, runtime, body.model, method)
    asked = {
        "recipe": method.recipe,
        "dataset": body.training_file,
        "validation": validation,
        "model": model,
        "train": _train(method, given),
        "seed": body.seed,
    }
    place = "hyperparameters" if body.hyperparameters is not None else method.hyperparameters
    try:
        beside = Beside(body.suffix, body.metadata)
        return jobs.create(runtime, JobCreate.model_validate(asked), idempotency_key, beside)
    except AppError as error:
        error.message, error.param = in_openais_words(error.message, error.param, place)
        raise


def in_openais_words(message: str, param: str | None, hyperparameters: str) -> tuple[str, str | None]:
    """A refusal's text and field, where they speak of the fields of POST /jobs; `hyperparameters` is where ours are."""
    names = {
        "dataset": "training_file",
        "validation": "validation_file",
        "model.preset": "model",
        "tokenizer": "model",
        "train.template": "model",
        "name": "suffix",
        "train.epochs": f"{hyperparameters}.n_epochs",
        "train.batch_size": f"{hyperparameters}.batch_size",
        "train.learning_rate": f"{hyperparameters}.learning_rate_multiplier",
        "train.min_learning_rate": f"{hyperparameters}.learning_rate_multiplier",
        "train.beta": f"{hyperparameters}.beta",
    }
    if param is not None and param.partition(".")[0] == "columns":  # they cannot be given here, but found in the file
        names[param] = "training_file"
    if param is not None and param.startswith("train.lora"):
        names[param] = f"{hyperparameters}.{param.removeprefix('train.')}"
    if param is None or param not in names:
        return message, param
    told = message.removeprefix(f"{param}: ")
    if param.removeprefix("train.") in RATES:
        told = f"the learning rate {told}"
    return f"{names[param]}: {told}", names[param]


def read(session: Session, job_id: str) -> JobRow:
    """A job of a method.

    Raises:
        JobNotFound: there is none of that id, or it is of a recipe that OpenAI's API has no method for.
    """
    row = jobs.read(session, job_id)
    if row.recipe not in BY_RECIPE:
        raise JobNotFound(f"{job_id} is no fine-tuning, but {row.recipe}; see GET /jobs/{job_id}")
    return row


def page(
    session: Session, after: str | None, limit: int, metadata: dict[str, str] | None = None
) -> tuple[list[JobRow], bool]:
    """Up to `limit` jobs of methods, newest first, those behind the one with id `after`, and whether more follow.

    Args:
        metadata: pairs that are noted on them; empty: nothing is; None: whatever is.

    Raises:
        JobNotFound: `after` names none.
    """
    return jobs.page(session, after, limit, Wanted(recipes=tuple(BY_RECIPE), metadata=metadata))


def hyperparameters(row: JobRow) -> dict[str, Any]:
    """What OpenAI's names say of the job's settings, whoever asked for it."""
    method = BY_RECIPE[row.recipe]
    by_default = method.config()
    epochs = row.train.get("epochs")
    if epochs is None and row.train.get("max_steps") is None:
        epochs = by_default.default_epochs
    multiplier = row.train.get("learning_rate", by_default.learning_rate) / by_default.learning_rate
    found = {
        "n_epochs": epochs or "auto",
        "batch_size": row.train.get("batch_size", by_default.batch_size),
        "learning_rate_multiplier": float(f"{multiplier:.12g}"),  # 0.3 times a rate, divided by it, is not 0.3
    }
    own = {name: row.train[name] for name in ("beta", "lora") if row.train.get(name) is not None}
    return found | own


def _method(name: str) -> Method:
    method = METHODS.get(name)
    if method is None or method.recipe not in job_checks.RECIPES:
        there = ", ".join(each.name for each in METHODS.values() if each.recipe in job_checks.RECIPES)
        raise InvalidRequest(f"method.type: {name} cannot be trained here; there are {there}", param="method.type")
    return method


def _check_file(session: Session, file_id: str | None, param: str) -> None:
    """Pass a file that was sent to train on."""
    if file_id is None:
        return
    row = datasets.read(session, file_id, param)
    if row.purpose != PURPOSE:
        told = f"{row.label} was uploaded with purpose {row.purpose}, and {PURPOSE} is needed"
        raise InvalidRequest(f"{param}: {told}", param=param)


def _validation(session: Session, body: FineTuningCreate, method: Method) -> str | float:
    """The file to measure on, or the share kept back of the training file; nothing, where that is one row."""
    if body.validation_file is not None:
        return body.validation_file
    rows = datasets.read(session, body.training_file, "training_file").rows
    return 0.0 if rows == 1 else method.held_back


def _model(session: Session, runtime: Runtime, name: str, method: Method) -> str | dict[str, str]:
    """The model to go on from; of pretraining also a preset that no model is called as."""
    if method.recipe != "pretrain" or name not in PRESETS:
        return name
    try:
        return runtime.catalogue.info(session, name).name
    except ModelNotFound:
        return {"preset": name}


def _train(method: Method, given: HyperparametersIn) -> dict[str, Any]:
    """The recipe's own settings; what is `auto` is left to it."""
    by_default = method.config()
    train = {
        "epochs": given.n_epochs,
        "batch_size": given.batch_size,
        "beta": getattr(given, "beta", None),
    }
    if given.learning_rate_multiplier is not None:
        train |= {name: getattr(by_default, name) * given.learning_rate_multiplier for name in RATES}
    lora = getattr(given, "lora", None)
    if lora is not None:
        train["lora"] = lora.model_dump(exclude_unset=True)
    known = {field.name for field in fields(method.config)}
    return {name: value for name, value in train.items() if value is not None and name in known | {"beta"}}
