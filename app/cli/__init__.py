"""The `inkling` command: start the service, or call a running one."""

from __future__ import annotations

import os
import sys

import httpx
import typer
from sqlalchemy.exc import ArgumentError, OperationalError

from app.cli import (
    audit,
    backup,
    call,
    classify,
    datasets,
    doctor,
    embeddings,
    evaluate,
    inspect,
    jobs,
    keys,
    metrics,
    models,
    processes,
    show,
    tokenizers,
    train,
    train_answers,
)
from app.config import BadSetting
from app.errors import AppError

cli = typer.Typer(
    name="inkling",
    help="Text to tokens, tokens to text, and models trained on your own files.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
cli.command("up")(processes.up)
cli.command("serve")(processes.serve)
cli.command("worker")(processes.worker)
cli.command("tokenize")(call.tokenize)
cli.command("generate")(call.generate)
cli.command("inspect")(inspect.inspect)
cli.command("embeddings")(embeddings.embeddings)
train.cli.command("instruct")(train_answers.instruct)
train.cli.command("dpo")(train_answers.dpo)
cli.add_typer(train.cli, name="train")
cli.command("classify")(classify.classify)
cli.command("tokenizers")(tokenizers.tokenizers)
cli.add_typer(models.cli, name="models")
cli.add_typer(datasets.cli, name="datasets")
cli.command("jobs")(jobs.jobs)
cli.command("eval")(evaluate.evaluate)
cli.command("metrics")(metrics.metrics)
cli.add_typer(keys.cli, name="keys")
cli.command("audit")(audit.audit)
cli.command("doctor")(doctor.doctor)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)


def main() -> None:
    """Run a command; a refusal is one line on standard error and exit status 1."""
    try:
        _check(sys.argv[1:])
        cli()
    except (AppError, BadSetting, processes.CannotStart, call.Refused) as error:
        show.complain(str(error))
    except httpx.ConnectError as error:
        address = error.request.url.join("/")
        show.complain(f"nobody answers at {address}; start one with `inkling up`, or set INKLING_URL")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        show.complain(f"the server did not answer: {error}")
    except (OperationalError, ArgumentError) as error:  # with --local
        show.complain(f"the database does not answer: {getattr(error, 'orig', error)}")
    except OSError as error:
        show.complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    else:
        return
    sys.exit(1)


def _check(arguments: list[str]) -> None:
    """Refuse what no request can carry: Python passes bytes that are no UTF-8 on as lone surrogates."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise call.Refused(f"an argument is not UTF-8: {os.fsencode(argument)!r}") from None
