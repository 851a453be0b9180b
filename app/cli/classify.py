"""`inkling classify`: the classes of texts, by a classifier of a running server."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from app.cli import curl, show
from app.cli.call import Json, Url, _ask, _client
from app.cli.train import PrintCurl


def classify(
    model: Annotated[str, typer.Argument(help="A classifier, or a checkpoint of one.")],
    texts: Annotated[list[str], typer.Argument(help="One text or several.", metavar="TEXT...")],
    explain: Annotated[bool, typer.Option("--explain", help="Show each token's share in the verdict.")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Of two classes: from which probability on the second one is told.")
    ] = None,
    print_curl: PrintCurl = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Tell the class of each text, and how sure that is."""
    body: dict[str, Any] = {"model": model, "input": texts[0] if len(texts) == 1 else texts}
    body |= {"explain": True} if explain else {}
    body |= {} if threshold is None else {"threshold": threshold}
    with _client(url) as client:
        if print_curl:
            address = f"{str(client.base_url).rstrip('/')}/classify"
            command = ["-X", "POST", address, "-H", "content-type: application/json"]
            return curl.printed(client, *command, "-d", json.dumps(body, ensure_ascii=False))
        answer = _ask(client, "POST", "/classify", json=body)
    if as_json:
        return show.as_json(answer)
    show.rows(("class", "probability", "text"), (_row(found, texts[found["index"]]) for found in answer["data"]))
    for found in answer["data"] if explain else ():
        show.output.print()
        show.rows(("token", "share"), ((repr(t["text"]), f"{t['share']:+.3f}") for t in found["explanation"]))
    return None


def _row(found: dict[str, Any], text: str) -> tuple[str, str, str]:
    cut = f" (the first {found['tokens']} tokens were read)" if found["truncated"] else ""
    return found["label"], f"{found['probabilities'][found['label']]:.1%}", " ".join(text.split()) + cut
