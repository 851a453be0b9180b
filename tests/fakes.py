"""Stand-ins that are whole: a tokenizer of bytes, a network that writes what it is told, a service around them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from app.config import Settings
from app.db.session import Database
from app.llm.config import ModelConfig
from app.llm.tokenizer.base import TextStream, Token
from app.llm.tokenizer.stream import ByteStream
from app.services.model_files import BUILT_IN, Place, Weights
from app.services.models import Models
from app.services.queue import Nudger, make_celery
from app.services.runtime import Runtime
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
        assert not parse_special, "nothing here asks for it"
        return list(text.encode())

    def walk(self, text: str, ids: Sequence[int]) -> Iterator[Token]:
        raise NotImplementedError("no text of these tests is shown token by token")

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


class _Calls:
    """Stands for a key-value cache: counts tokens and passes."""

    def __init__(self, max_tokens: int) -> None:
        self.max_tokens, self.length, self.passes = max_tokens, 0, 0


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
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

    def new_cache(self, batch_size: int, max_tokens: int) -> _Calls:
        return _Calls(max_tokens)

    def hidden(self, ids: Tensor, cache: _Calls) -> Tensor:
        if self.before_pass is not None:
            self.before_pass(cache.passes)
        if cache.passes == 0:
            self.prompts.append(ids[0].tolist())
        time.sleep(self.pass_s)
        number = cache.passes
        cache.passes += 1
        cache.length += ids.size(1)
        next_id = self.script[number] if number < len(self.script) else self.ending
        return torch.full((1, ids.size(1), 1), float(next_id))

    def head(self, hidden: Tensor) -> Tensor:
        logits = torch.zeros(*hidden.shape[:-1], self.config.vocab_size)
        return logits.scatter(-1, hidden.long(), self.margin)


def scripted_runtime(
    settings: Settings,
    database: Database,
    network: ScriptedModel | Callable[[Place], ScriptedModel],
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

    def read(place: Place) -> Weights:
        made = network if isinstance(network, ScriptedModel) else network(place)
        return Weights(made, made.config, "bytes", None, chat_template)

    tokenizers = OneTokenizer(tokenizer or ByteTokenizer())
    loader = Models(settings, database, storage, tokenizers, read)
    return Runtime(settings, database, storage, tokenizers, loader, Nudger(make_celery(settings)))


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
