"""`inkling inspect`: what a model makes of a text inside, as small tables, or all of it as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client

MATRICES = ("scores", "masked", "attention")
SHOWN = (*MATRICES, "loss", "logit_lens", "next")
DEFAULT = ("attention", "loss", "logit_lens", "next")
MOST_NUMBERS = 12  # columns of a matrix that fit a terminal as numbers; more are drawn as blocks
BLOCKS = " ░▒▓█"
NAME_WIDTH = 14


def inspect(
    text: str,
    model: str | None = None,
    want: Annotated[
        list[str] | None, typer.Option(help=f"What to show, may be repeated: {', '.join(SHOWN)}; with --json any.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="The layer whose attention is shown, from 0.")] = None,
    head: Annotated[int | None, typer.Option(help="The head, from 0.")] = None,
    temperature: Annotated[float | None, typer.Option(help="For the last column of the next tokens.")] = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Open one forward pass: attention of a head, losses, the logit lens, the next token."""
    asked = tuple(want or DEFAULT)
    body: dict[str, Any] = {"text": text}
    body |= {"model": model} if model else {}
    draw = {"temperature": temperature} if temperature is not None else {}
    with _client(url) as client:
        if as_json:
            slices = {"layers": layer, "heads": head}
            body |= draw | {name: [index] for name, index in slices.items() if index is not None}
            return show.as_json(_ask(client, "POST", "/inspect", json=body | {"want": asked}))
        if unknown := set(asked) - set(SHOWN):
            raise Refused(f"--want {', '.join(sorted(unknown))} has no table; --json prints what the server gives")
        if draw and "next" not in asked:
            raise Refused("--temperature counts for the next tokens; add --want next")
        at = {"layers": [layer or 0], "heads": [head or 0]}
        wide = [one for one in asked if one in (*MATRICES, "loss")]
        answer = _ask(client, "POST", "/inspect", json=body | at | {"want": wide or ["loss"]})
        _show_wide(answer, asked)
        deep = [one for one in asked if one in ("logit_lens", "next")]
        if deep:
            last = draw | {"want": deep, "tokens": [answer["count"] - 1]}
            _show_deep(_ask(client, "POST", "/inspect", json=body | last), asked)


def _show_wide(answer: dict[str, Any], asked: Sequence[str]) -> None:
    names = [_name(token) for token in answer["tokens"]]
    for want in asked:
        if want in MATRICES:
            _title(f"{want}: layer {answer['layers'][0]}, head {answer['heads'][0]}; a row looks at its columns")
            for line in _matrix(names, answer[want]["data"][0][0], are_shares=want == "attention"):
                show.output.print(line, markup=False, soft_wrap=True)
    if "loss" in asked:
        mean = answer["loss"]["mean"]
        _title("loss of each token after the first" + ("" if mean is None else f"; mean {mean:.3f}"))
        rows = answer["loss"]["tokens"]
        show.rows(("token", "loss", "rank"), ((_name(row), _number(row["loss"]), row["rank"]) for row in rows))


def _show_deep(answer: dict[str, Any], asked: Sequence[str]) -> None:
    if "logit_lens" in asked:
        _title("logit lens at the last token: what would come next if the network ended after a layer")
        lines = ((lens["layer"], *map(_likely, lens["tokens"][0]["top"])) for lens in answer["logit_lens"])
        show.rows(("layer", *map(str, range(1, 1 + len(answer["logit_lens"][0]["tokens"][0]["top"])))), lines)
    if "next" in asked:
        _title("next token: probability by the model, and as it would be drawn")
        top = answer["next"][0]["top"]
        lines = ((_name(one), _number(one["logit"]), *map(_share, _logprobs(one))) for one in top)
        show.rows(("token", "logit", "model", "drawn"), lines)


def _matrix(names: Sequence[str], rows: Sequence[Sequence[float | None]], *, are_shares: bool) -> Iterator[str]:
    """One line a row: numbers where they fit, else a block for each, darker for more."""
    known = [value for row in rows for value in row if value is not None]
    low, high = (0.0, 1.0) if are_shares else (min(known, default=0.0), max(known, default=1.0))
    fits = len(names) <= MOST_NUMBERS
    if fits:
        yield " " * NAME_WIDTH + "".join(f" {name[:6]:>6}" for name in names)
    for name, row in zip(names, rows, strict=True):
        cells = (f" {_number(value):>6}" if fits else _block(value, low, high) for value in row)
        yield f"{name[:NAME_WIDTH]:<{NAME_WIDTH}}" + "".join(cells)


def _block(value: float | None, low: float, high: float) -> str:
    if value is None:
        return BLOCKS[0]
    share = (value - low) / (high - low) if high > low else 1.0
    return BLOCKS[min(len(BLOCKS) - 1, math.ceil(share * (len(BLOCKS) - 1)))]


def _name(token: dict[str, Any]) -> str:
    return repr(token["text"])[1:-1].replace(" ", "·")


def _logprobs(one: dict[str, Any]) -> tuple[float | None, float | None]:
    return one["logprob"], one["sampled_logprob"]


def _likely(one: dict[str, Any]) -> str:
    return f"{_name(one)} {_share(one['logprob'])}"


def _share(logprob: float | None) -> str:
    return "–" if logprob is None else f"{math.exp(logprob):.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _title(text: str) -> None:
    show.output.print(f"\n{text}", style="bold", markup=False)
