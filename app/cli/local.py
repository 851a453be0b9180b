"""`tokenize` and `generate` in this process, on the same data directory, without a server or a port."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from app.config import Settings, get_settings
from app.db.migrate import migrate
from app.db.session import Database
from app.errors import InvalidRequest
from app.log import configure_logging
from app.services.storage import Storage

if TYPE_CHECKING:  # torch takes seconds, and calls of a server need none
    from app.schemas.generate import GenerateIn
    from app.services.generation import Generation

Body = TypeVar("Body", bound=BaseModel)


def tokenize(fields: dict[str, Any]) -> Any:
    """What `POST /tokenize` answers."""
    from app.schemas import token_json
    from app.schemas.tokenizer import TokenizeIn
    from app.services import tokens
    from app.services.tokenizers import Tokenizers

    body, settings = _checked(TokenizeIn, fields), get_settings()
    name = body.tokenizer if isinstance(body.tokenizer, str) else settings.default_tokenizer
    tokens.check_size([body.text], settings.max_text_bytes)
    with _data(settings) as (database, storage), database.read() as session:
        tokenizer = Tokenizers(storage).get(session, name)
    ids = tokens.encode(tokenizer, body.text, parse_special=body.specials == "parse")
    return json.loads(b"".join(token_json.tokenized(name, len(ids), tokenizer.walk(body.text, ids))))


def generate(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The events that `POST /generate` streams."""
    from app.schemas.generate import GenerateIn

    return _run(_generated(_checked(GenerateIn, fields)))


def answer(fields: dict[str, Any]) -> Any:
    """What `POST /generate` answers at once."""
    from app.schemas.generate import GenerateIn

    configure_logging("warning")
    return asyncio.run(_answered(_checked(GenerateIn, fields)))


def _run(events: AsyncIterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    configure_logging("warning")
    with asyncio.Runner() as runner:
        while (event := runner.run(anext(events, None))) is not None:
            yield event


async def _generated(body: GenerateIn) -> AsyncIterator[dict[str, Any]]:
    async with _started(body) as generation:
        async for step in generation.progress():
            yield {"index": step.index, "token": {"text": step.token.text if step.token else ""}}


async def _answered(body: GenerateIn) -> Any:
    from app.schemas.generate import BegunTokenOut, ChoiceOut, GenerateOut, UsageOut

    async with _started(body) as generation:
        choices = [ChoiceOut.model_validate(choice) for choice in await generation.collect()]
        return GenerateOut(
            id=generation.id,
            model=generation.model_name,
            created=generation.created,
            choices=choices,
            usage=UsageOut.model_validate(generation.usage),
            seed=generation.seed,
            begun=[BegunTokenOut.model_validate(token) for token in generation.begun],
            logits=None if generation.logits is None else b64encode(generation.logits).decode(),
            prompt_ids=None if generation.logits is None else list(generation.prompt_ids),
        ).model_dump(mode="json")


@asynccontextmanager
async def _started(body: GenerateIn) -> AsyncIterator[Generation]:
    from app.services.generation import prepare
    from app.services.runtime import Runtime

    runtime = Runtime.open(get_settings())
    try:
        migrate(runtime.database)
        generation = await prepare(runtime, body)
        generation.start()
        yield generation
    finally:
        runtime.close()


@contextmanager
def _data(settings: Settings) -> Iterator[tuple[Database, Storage]]:
    configure_logging("warning")
    storage = Storage(settings.data_dir, settings.assets_dir, settings.effective_import_dir)
    storage.prepare()
    database = Database(settings.effective_database_url)
    try:
        migrate(database)
        yield database, storage
    finally:
        database.dispose()


def _checked(kind: type[Body], fields: dict[str, Any]) -> Body:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{place}: {first['msg']}", param=place) from None
