"""Stand-ins that are whole: a tokenizer of bytes, a network that writes what it is told, a service around them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from app.config import Settings
from app.db.session import Database
from app.llm.config import ModelConfig
from app.llm.engine.runner import Chunk, Runner, Wanted
from app.llm.progress import Tell
from app.llm.tokenizer.base import TextStream, Token
from app.llm.tokenizer.stream import ByteStream
from app.services import runners
from app.services.catalogue import Catalogue
from app.services.loaded_model import LoadedModel
from app.services.model_files import BUILT_IN, Place, Weights
from app.services.models import Models
from app.services.queue import Nudger, make_celery
from app.services.runtime import Runtime, remote_of
from app.services.storage import Storage

SPECIALS = {"<|im_start|>": 256, "<|im_end|>": 257, "<|endoftext|>": 258}
IM_START, IM_END, END_OF_TEXT = SPECIALS.values()
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ByteTokenizer:
    """One token a byte, and ChatML's control tokens behind them."""

    kind = "bpe"
    vocab_size = 256 + len(SPECIALS)
    eos_id = IM_END
    special_tokens: Mapping[str, int] = SPECIALS

    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        assert not (parse_special and any(name in text for name in SPECIALS)), "nothing here asks for it"
        return list(text.encode())

    def walk(self, text: str, ids: Sequence[int]) -> Iterator[Token]:
        characters = (place for place, character in enumerate(text) for _ in character.encode())
        for token_id, place in zip(ids, characters, strict=True):
            yield Token(token_id, self.token_bytes(token_id), place, place + 1, special=False)

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[Token]:
        return list(self.walk(text, self.encode(text, parse_special=parse_special)))

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id]) if token_id < 256 else list(SPECIALS)[token_id - 256].encode()

    def stream(self) -> TextStream:
        return ByteStream(self.token_bytes)


class OneTokenizer:
    """`Tokenizers` that knows a single one, whatever it is asked for."""

    def __init__(self, tokenizer: object) -> None:
        self.tokenizer = tokenizer

    def get(self, session: object, name: str, param: str = "tokenizer") -> object:
        return self.tokenizer


class ScriptedModel(nn.Module):
    """Writes a script after any prompt of up to 256 tokens, then `ending` for ever.

    Args:
        script: ids, or text as bytes.
        margin: by how much the scripted token's logit stands over the others; 0 leaves all equally likely.
        pass_s: seconds that a pass takes.
        before_pass: called with the number of the pass on its cache; may raise.
    """

    def __init__(
        self,
        script: str | Sequence[int] = "",
        *,
        ending: int = IM_END,
        margin: float = 20.0,
        context_length: int = 512,
        pass_s: float = 0.0,
        before_pass: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__()
        self.config = ModelConfig(
            vocab_size=ByteTokenizer.vocab_size, context_length=context_length, emb_dim=4, n_heads=1, n_layers=1
        )
        self.script = list(script.encode()) if isinstance(script, str) else list(script)
        self.ending, self.margin, self.pass_s, self.before_pass = ending, margin, pass_s, before_pass
        self.prompts: list[list[int]] = []
        self.weight_bytes = 0  # what the place that it was read from says
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)


class ScriptedRunner:
    """Runs a `ScriptedModel` as engines ask for it; a sequence is known by its first block."""

    block_tokens = 1
    shares_prefixes = False
    has_threads = False

    def __init__(self, model: ScriptedModel, *, kv_cache_tokens: int) -> None:
        self.config, self.block_count = model.config, kv_cache_tokens
        self.network = self._model = model
        self._starts: dict[int, list[int]] = {}  # where the passes of each sequence began
        self.weight_bytes = model.weight_bytes

    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        rows = [self._pass(chunk) for chunk in chunks]
        return torch.cat([row.expand(_rows(chunk), -1) for row, chunk in zip(rows, chunks, strict=True)])

    def _pass(self, chunk: Chunk) -> Tensor:
        model = self._model
        starts = self._starts.setdefault(chunk.blocks[0], [])
        if chunk.start == 0:
            starts.clear()
        number = starts.index(chunk.start) if chunk.start in starts else len(starts)
        if model.before_pass is not None:
            model.before_pass(number)
        if number == 0:
            model.prompts.append(list(chunk.ids))
        if number == len(starts):
            starts.append(chunk.start)
        time.sleep(model.pass_s)
        next_id = model.script[number] if number < len(model.script) else model.ending
        return torch.zeros(1, model.config.vocab_size).index_fill(1, torch.tensor([next_id]), model.margin)


def _rows(chunk: Chunk) -> int:
    return {Wanted.NONE: 0, Wanted.LAST: 1, Wanted.ALL: len(chunk.ids)}[chunk.wanted]


def scripted_runtime(
    settings: Settings,
    database: Database,
    network: ScriptedModel | Callable[[Place, Tell], ScriptedModel],
    *,
    tokenizer: object | None = None,
    chat_template: str | None = CHATML,
) -> Runtime:
    """A runtime whose models are `network`, or what it makes of a place. The file of the one that ships is empty."""
    settings = settings.model_copy(update={"assets_dir": settings.data_dir / "assets"})
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    settings.assets_dir.mkdir(exist_ok=True)
    for model in BUILT_IN.values():
        storage.asset(model.file_name).touch()

    def read(place: Place, tell: Tell) -> Weights:
        made = network if isinstance(network, ScriptedModel) else network(place, tell)
        if isinstance(made, ScriptedModel):
            made.weight_bytes = place.memory_bytes
        return Weights(made, made.config, "bytes", None, chat_template)

    tokenizers = OneTokenizer(tokenizer or ByteTokenizer())

    def make_runner(made: nn.Module, settings: Settings, tell: Tell) -> Runner:
        if isinstance(made, ScriptedModel):
            return ScriptedRunner(made, kv_cache_tokens=settings.kv_cache_tokens)
        installed = Path(sys.prefix) / "share" / "inkling"  # where the kernels were built
        return runners.make(made, settings.model_copy(update={"assets_dir": installed}))

    loader = Models(settings, database, storage, tokenizers, read, make_runner)
    catalogue = Catalogue(settings, storage, loader)
    nudger = Nudger(make_celery(settings))
    return Runtime(settings, database, storage, tokenizers, loader, catalogue, nudger, remote_of(settings))


def network_of(model: LoadedModel) -> ScriptedModel:
    """What a model of `scripted_runtime` writes by; it stays in memory."""
    with model.network.lent() as network:
        assert isinstance(network, ScriptedModel)
        return network


def eventually(condition: Callable[[], bool], within_s: float = 5.0) -> float:
    """Seconds until `condition` holds; fails if that is not soon enough."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, "it did not come true in time"
        time.sleep(0.005)
    return time.monotonic() - started


def greedy(**fields: object) -> dict[str, object]:
    """A body of POST /generate at temperature 0."""
    return {"prompt": "Once", "temperature": 0} | fields
