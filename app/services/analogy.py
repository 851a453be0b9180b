"""POST /embeddings/analogy: which tokens lie where a sum of directions points to (Mikolov et al. 2013)."""

from __future__ import annotations

from typing import Literal

from app.errors import UnknownWord
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.word import UNKNOWN
from app.schemas.embeddings import AnalogyIn, AnalogyOut, NeighbourOut, TermOut
from app.services import tokens
from app.services.vector_tables import Tables


def solve(body: AnalogyIn, tables: Tables) -> AnalogyOut:
    """The nearest tokens to what the terms add up to. Takes some tenths of a second.

    Raises:
        UnknownWord: a term is not in the vocabulary; `<|unk|>` points nowhere.
        InvalidRequest: there is no token in a term.
    """
    import torch

    from app.llm.vectors import nearest_to, signed_sum

    tokenizer = tables.tokenizer
    assert tokenizer is not None, "models have one"
    assert tables.name is not None, "it is no fresh layer's"
    terms = [_term(tokenizer, 1, text, f"plus.{place}") for place, text in enumerate(body.plus)]
    terms += [_term(tokenizer, -1, text, f"minus.{place}") for place, text in enumerate(body.minus)]
    own = sorted({token_id for term in terms for token_id in term.ids})
    with tables.opened() as (vectors, _), torch.no_grad():
        wanted = signed_sum(vectors, [(term.ids, term.sign) for term in terms])
        found, cosines = nearest_to(vectors, wanted[None], body.neighbours, torch.tensor([own]))
    near = [
        NeighbourOut(id=token_id, text=tokens.text_of(tokenizer, token_id), score=round(score, 6))
        for token_id, score in zip(found[0].tolist(), cosines[0].tolist(), strict=True)
    ]
    return AnalogyOut(model=tables.name, terms=terms, neighbours=near)


def _term(tokenizer: Tokenizer, sign: Literal[1, -1], text: str, param: str) -> TermOut:
    ids = tokens.encode_some(tokenizer, text, param)
    if tokenizer.kind == "word" and tokenizer.special_tokens.get(UNKNOWN) in ids:
        raise UnknownWord(f"{param}: {text!r} is not among the words that the model has vectors of", param=param)
    return TermOut(text=text, sign=sign, ids=ids, texts=[tokens.text_of(tokenizer, token_id) for token_id in ids])
