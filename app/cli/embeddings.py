"""`inkling embeddings`: what lies near the vectors of tokens, where they lie in a plane, and what sums of them mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from app.cli import show
from app.cli.call import Json, Refused, Url, _ask, _client

MOST_POSITIONS = 256  # that one call looks for neighbours of


def embeddings(
    text: Annotated[str | None, typer.Argument(help="Its tokens; a space before a word belongs to it.")] = None,
    model: str | None = None,
    token_id: Annotated[list[int] | None, typer.Option("--id", help="A token by its number, may be repeated.")] = None,
    frequent: Annotated[str | None, typer.Option(help="Of a dataset's id: the tokens that it has most of.")] = None,
    count: Annotated[int, typer.Option(help="So many of those.")] = 50,
    positions: Annotated[bool, typer.Option("--positions", help="The first rows of the table of positions.")] = False,
    plus: Annotated[list[str] | None, typer.Option(help="A term of a sum of vectors, may be repeated.")] = None,
    minus: Annotated[list[str] | None, typer.Option(help="One that is taken away, may be repeated.")] = None,
    neighbours: Annotated[int, typer.Option(help="Nearest tokens that are shown.")] = 5,
    axes: Annotated[int | None, typer.Option(help="Also where each lies in a plane (2) or a space (3).")] = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Show the nearest tokens of a text's, of a dataset's most frequent ones, or of king - man + woman."""
    body: dict[str, Any] = {"neighbours": neighbours} | ({"model": model} if model else {})
    asked = {
        "a text": text,
        "--id": token_id or None,
        "--frequent": frequent,
        "--positions": positions or None,
        "--plus": plus or None,
    }
    given = [name for name, value in asked.items() if value is not None]
    if len(given) != 1:
        raise Refused(f"say {', '.join(asked)}: one of them" + (f", not {' and '.join(given)}" if given else ""))
    if minus and not plus:
        raise Refused("--minus takes away from --plus: say that, too")
    if plus and axes is not None:
        raise Refused("--axes is of rows; a sum is shown by what lies near it")
    with _client(url) as client:
        if plus:
            terms = body | {"plus": plus} | ({"minus": minus} if minus else {})
            answer = _ask(client, "POST", "/embeddings/analogy", json=terms)
            return show.as_json(answer) if as_json else _show_sum(answer)
        if frequent is not None:
            body["frequent"] = {"dataset": frequent, "count": count}
        elif positions:
            body |= {"table": "positions", "ids": list(range(min(count, MOST_POSITIONS)))}
        else:
            body |= {"ids": token_id} if token_id else {"text": text}
        body |= {} if axes is None else {"project": True, "axes": axes}
        answer = _ask(client, "POST", "/embeddings", json=body | {"vectors": as_json})
    return show.as_json(answer) if as_json else _show_rows(answer)


def _show_rows(answer: dict[str, Any]) -> None:
    columns = ["id"]
    columns += [] if answer["texts"] is None else ["token"]
    columns += [] if answer["counts"] is None else ["times"]
    projection = answer["projection"]
    columns += [] if projection is None else list("xyz"[: len(projection["explained"])])
    show.rows([*columns, "nearest, by cosine"], _rows(answer))
    if projection is not None:
        shares = ", ".join(f"{share:.0%}" for share in projection["explained"])
        show.output.print(f"the axes explain {shares} of all variance", style="dim")


def _rows(answer: dict[str, Any]) -> Iterator[list[object]]:
    for place, token_id in enumerate(answer["ids"]):
        cells: list[object] = [token_id]
        cells += [] if answer["texts"] is None else [repr(answer["texts"][place])]
        cells += [] if answer["counts"] is None else [answer["counts"][place]]
        if answer["projection"] is not None:
            cells += [f"{number:.3f}" for number in answer["projection"]["points"][place]]
        yield [*cells, ", ".join(map(_near, answer["neighbours"][place]))]


def _near(one: dict[str, Any]) -> str:
    name = one["id"] if one["text"] is None else repr(one["text"])
    return f"{name} {one['score']:.2f}"


def _show_sum(answer: dict[str, Any]) -> None:
    terms = " ".join(f"{'+' if term['sign'] > 0 else '−'} {term['text'].strip()}" for term in answer["terms"])
    show.output.print(f"{terms.removeprefix('+ ')} is near", markup=False)
    near = answer["neighbours"]
    show.rows(("id", "token", "cosine"), ((one["id"], repr(one["text"]), f"{one['score']:.3f}") for one in near))
