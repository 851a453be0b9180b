"""GET and POST /tokenizers, GET /tokenizers/{name}/vocab: what tokenizers there are, and their vocabularies."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ReadSession, RuntimeDep
from app.api.errors import refusals
from app.errors import DataMissing, DatasetNotFound, NameTaken, TokenizerNotFound, TooLarge
from app.schemas.base import Page
from app.schemas.tokenizer import TokenizerCreate, TokenizerOut, TokenizerQuery, VocabularyEntry, VocabularyQuery

router = APIRouter(prefix="/tokenizers", tags=["tokenizers"])


@router.get("")
def list_tokenizers(
    query: Annotated[TokenizerQuery, Query()], session: ReadSession, runtime: RuntimeDep
) -> Page[TokenizerOut]:
    """All tokenizers, the built-in ones first; those without their data say how to get it."""
    infos, has_more = runtime.tokenizers.page(session, query.after, query.limit)
    return Page(data=[TokenizerOut.model_validate(info) for info in infos], has_more=has_more)


@router.post("", status_code=201, responses=refusals(DatasetNotFound, NameTaken, TooLarge, DataMissing))
def create_tokenizer(body: TokenizerCreate, runtime: RuntimeDep) -> TokenizerOut:
    """Build the book's word tokenizer from the text of a dataset."""
    tokenizers = runtime.tokenizers
    with runtime.database.read() as session:
        dataset = tokenizers.check_new(session, body.name, body.dataset)
    tokenizer = tokenizers.build_word(dataset, 1 if body.version == 1 else 2)  # seconds: no transaction waits for it
    with runtime.database.write() as session:
        info = tokenizers.info(tokenizers.register_word(session, body.name, tokenizer, dataset.id))
    return TokenizerOut.model_validate(info)


@router.get("/{name}/vocab", responses=refusals(TokenizerNotFound, DataMissing))
def list_vocabulary(
    name: str, query: Annotated[VocabularyQuery, Query()], session: ReadSession, runtime: RuntimeDep
) -> Page[VocabularyEntry]:
    """The entries of a vocabulary in the order of their ids."""
    entries, has_more = runtime.tokenizers.vocab(session, name, query.after, query.limit)
    return Page(data=[VocabularyEntry.model_validate(entry) for entry in entries], has_more=has_more)
