"""The `inkling` command: start the service, or call a running one."""

from __future__ import annotations

import sys

import httpx
import typer

from app.cli import call, inspect, models, processes, show, tokenizers
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
cli.command("train")(call.train)
cli.command("tokenizers")(tokenizers.tokenizers)
cli.add_typer(models.cli, name="models")
cli.command("datasets")(call.datasets)
cli.command("jobs")(call.jobs)


def main() -> None:
    """Run a command; a refusal is one line on standard error and exit status 1."""
    try:
        cli()
    except (AppError, processes.CannotStart, call.Refused) as error:
        show.complain(str(error))
    except httpx.ConnectError:
        show.complain("no Inkling answers at that address; start one with `inkling up`, or set INKLING_URL")
    except httpx.HTTPError as error:
        show.complain(f"the server did not answer: {error}")
    else:
        return
    sys.exit(1)
