"""/tokenizers: what there is, one's own made and deleted, vocabularies, merges, and a report that compares."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Response

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.api.pieces import LongWorkDep
from app.errors import Conflict, DataMissing, DatasetNotFound, NameTaken, QueueFull, TokenizerNotFound, TooLarge
from app.schemas.base import Page
from app.schemas.tokenizer import (
    MergesOut,
    MergesQuery,
    ReportIn,
    ReportOut,
    TokenizerCreate,
    TokenizerDeletedOut,
    TokenizerOut,
    TokenizerQuery,
    VocabularyEntry,
    VocabularyQuery,
)
from app.services import tokenizer_making, tokenizer_report

router = APIRouter(prefix="/tokenizers", tags=["tokenizers"])


@router.get("", responses=refusals(TokenizerNotFound))
def list_tokenizers(
    query: Annotated[TokenizerQuery, Query()], session: ReadSession, runtime: RuntimeDep
) -> Page[TokenizerOut]:
    """All tokenizers, the built-in ones first; those without their data say how to get it."""
    infos, has_more = runtime.tokenizers.page(session, query.after, query.limit)
    return Page(data=[TokenizerOut.model_validate(info) for info in infos], has_more=has_more)


@router.post("", status_code=201, responses=refusals(DatasetNotFound, NameTaken, TooLarge, DataMissing, QueueFull))
def create_tokenizer(body: TokenizerCreate, runtime: RuntimeDep, response: Response) -> TokenizerOut:
    """Make a tokenizer of one's own from a dataset: the book's word tokenizer, or byte-pair encoding."""
    with runtime.database.read() as session:
        dataset = tokenizer_making.check(session, body)
    made = tokenizer_making.make(runtime.storage, dataset, body)  # seconds: no transaction waits for it
    with runtime.database.write() as session:
        row = tokenizer_making.register(session, runtime.storage, body.name, made, dataset.id)
        info = runtime.tokenizers.info(row)
    response.headers["Location"] = f"/tokenizers/{row.name}"
    return TokenizerOut.model_validate(info)


@router.post("/report", responses=refusals(TokenizerNotFound, DatasetNotFound, TooLarge, DataMissing))
async def report_tokenizers(body: ReportIn, runtime: RuntimeDep, long_work: LongWorkDep) -> ReportOut:
    """Compare tokenizers on a text or a dataset: length of tokens, unknown words, lines that do not come back whole."""
    return await to_thread.run_sync(tokenizer_report.report, runtime, body, limiter=long_work)


@router.get("/{name}", responses=refusals(TokenizerNotFound))
def read_tokenizer(name: str, session: ReadSession, runtime: RuntimeDep) -> TokenizerOut:
    """One tokenizer."""
    return TokenizerOut.model_validate(runtime.tokenizers.one(session, name))


@router.delete("/{name}", responses=refusals(TokenizerNotFound, Conflict))
def delete_tokenizer(name: str, session: WriteSession, runtime: RuntimeDep) -> TokenizerDeletedOut:
    """Delete a tokenizer of one's own that no model, live job or kept checkpoint needs."""
    tokenizer_making.delete(session, runtime.storage, name)
    return TokenizerDeletedOut(name=name)


@router.get("/{name}/vocab", responses=refusals(TokenizerNotFound, DataMissing))
def list_vocabulary(
    name: str, query: Annotated[VocabularyQuery, Query()], session: ReadSession, runtime: RuntimeDep
) -> Page[VocabularyEntry]:
    """The entries of a vocabulary in the order of their ids, each with the two that it is merged from."""
    entries, has_more = runtime.tokenizers.vocab(session, name, query.after, query.limit)
    return Page(data=[VocabularyEntry.model_validate(entry) for entry in entries], has_more=has_more)


@router.get("/{name}/merges", responses=refusals(TokenizerNotFound, DataMissing))
def show_merges(
    name: str, query: Annotated[MergesQuery, Query()], session: ReadSession, runtime: RuntimeDep
) -> MergesOut:
    """How a byte-pair tokenizer comes from the bytes of a word to its tokens, merge by merge."""
    return tokenizer_report.merges(name, runtime.tokenizers.get(session, name, "name"), query.text)
