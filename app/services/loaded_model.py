"""A model in memory: its weights read, its tokenizer found, an engine made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from app.config import Settings
from app.db.session import Database
from app.errors import DataMissing
from app.llm.config import ModelConfig
from app.llm.errors import LLMError
from app.llm.progress import Tell, silent
from app.llm.tokenizer.base import Tokenizer
from app.services.chat import ChatTemplate, chat_template
from app.services.engine_loop import EngineLoop
from app.services.float_network import FloatNetwork
from app.services.gate import ComputeGate
from app.services.metrics import Metrics
from app.services.model_files import BUILT_IN, Place, Weights, read_adapter, stamp
from app.services.request_spans import watch_of
from app.services.runners import choose_device
from app.services.tokenizers import Tokenizers

if TYPE_CHECKING:
    from app.llm.engine.runner import Runner
    from app.llm.model.adapter import Adapter
    from app.llm.model.stored import StoredNetwork
    from app.llm.model.transformer import Transformer

END_NAMES = ("<|endoftext|>", "<|im_end|>")
"""Special tokens that end a text in any model that has them."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory. Whoever holds it can use it, even after it made room for another."""

    name: str
    network: FloatNetwork[Transformer] = field(repr=False)
    config: ModelConfig
    tokenizer: Tokenizer = field(repr=False)
    chat_template: ChatTemplate | None = field(repr=False)
    stop_ids: frozenset[int]
    loop: EngineLoop = field(repr=False)
    request_timeout_s: float
    """After so long a request ends with what it has."""
    gate: ComputeGate = field(repr=False)
    """What else computes with `network`, beside the loop, passes it."""
    weight_bytes: int
    """Of the weights that memory holds all the time."""
    adapter: Adapter | None = field(default=None, repr=False)
    """What stands beside the network; `loop` is then its base's, and not to be ended here."""

    @property
    def is_idle(self) -> bool:
        return self.loop.is_idle and not self.network.is_lent

    def retire(self) -> None:
        """Let what it holds go as soon as those who use it have ended."""
        if self.adapter is None:
            self.loop.retire()
        self.network.close()

    def close(self) -> None:
        """Stop its engine; streams that are open end as aborted."""
        if self.adapter is None:
            self.loop.close()
        self.network.close()


@dataclass(frozen=True)
class Loader:
    """What it takes to bring a place's model into memory. All models of a process pass one gate a device."""

    settings: Settings
    database: Database
    tokenizers: Tokenizers
    read: Callable[[Place, Tell], Weights]
    make_runner: Callable[[Transformer | StoredNetwork, Settings, Tell], Runner]
    metrics: Metrics
    gate: ComputeGate = field(default_factory=ComputeGate)
    """Of the device that generates."""
    cpu_gate: ComputeGate = field(default_factory=ComputeGate)
    """Of the CPU, where that is another one: what computes there keeps no GPU waiting."""

    @property
    def gate_of_cpu(self) -> ComputeGate:
        """What computes on the CPU passes it: the engines' own, where they compute there, too."""
        return self.gate if choose_device(self.settings) == "cpu" else self.cpu_gate

    def load(
        self, place: Place, tell: Tell, on_death: Callable[[], None], make_room: Callable[[], None]
    ) -> LoadedModel:
        """The model of a place.

        Args:
            tell: hears how far it has come.
            on_death: called where its engine stops for good.
            make_room: called where its float32 weights are to be read again.

        Raises:
            LLMError, FileNotFoundError: its files are gone or damaged, or fit no format.
            DataMissing: its tokenizer is gone, or is not the one of its vocabulary.
        """
        import torch

        from app.llm.engine.device_runner import DeviceRunner
        from app.llm.engine.engine import Engine
        from app.llm.engine.torch_threads import one_for_this_thread
        from app.llm.model.stored import whole

        if self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        seen = stamp(place)
        weights = self.read(place, tell)
        with self.database.read() as session:
            tokenizer = self.tokenizers.get(session, weights.tokenizer, param="model")
        if tokenizer.vocab_size != weights.config.vocab_size:
            sizes = f"{weights.config.vocab_size} tokens, but its tokenizer {weights.tokenizer} {tokenizer.vocab_size}"
            raise DataMissing(f"model: {place.name} has {sizes}", param="model")
        eos_id = tokenizer.eos_id if weights.eos_id is None else weights.eos_id
        ends = {tokenizer.special_tokens.get(name) for name in END_NAMES} | {eos_id}
        runner = self.make_runner(weights.network, self.settings, tell)
        engine = Engine(runner)
        stays = whole(weights.network) if weights.is_mapped else runner.network
        return LoadedModel(
            name=place.name,
            network=FloatNetwork(lambda: self._again(place, seen), make_room, network=stays),
            config=weights.config,
            tokenizer=tokenizer,
            chat_template=chat_template(weights.chat_template, tokenizer, is_ours=place.name in BUILT_IN),
            stop_ids=frozenset(token_id for token_id in ends if token_id is not None),
            loop=EngineLoop(
                engine,
                self.gate,
                self.settings.max_queued_requests,
                name=place.name,
                watch=watch_of(self.metrics, place.name, engine),
                on_start=one_for_this_thread if runner.has_threads else None,
                on_death=on_death,
            ),
            request_timeout_s=self.settings.request_timeout_s,
            gate=self.cpu_gate if isinstance(runner, DeviceRunner) else self.gate,
            weight_bytes=runner.weight_bytes,
        )

    def load_adapter(self, place: Place, base: LoadedModel, make_room: Callable[[Place], None]) -> LoadedModel:
        """An adapter beside its base, which is in memory and computes for both.

        Args:
            make_room: called with all that is to be read, where its float32 weights and its base's are.

        Raises:
            LLMError, FileNotFoundError: its files are gone or damaged, or made for another base.
        """
        from app.llm.model.adapter import worn

        adapter, meta = read_adapter(place)
        ends = base.stop_ids if meta.eos_id is None else base.stop_ids | {meta.eos_id}
        template = base.chat_template
        if meta.chat_template is not None and (template is None or template.source != meta.chat_template):
            template = chat_template(meta.chat_template, base.tokenizer, is_ours=False)

        assert place.base is not None, "an adapter has a base"
        of_both = 0 if base.network.stays else place.base.memory_bytes
        whole = replace(place, memory_bytes=place.memory_bytes + of_both)

        def wearing() -> Transformer:
            with base.network.lent() as network:
                return worn(network, adapter)

        return replace(
            base,
            name=place.name,
            network=FloatNetwork(wearing, lambda: make_room(whole)),
            chat_template=template,
            stop_ids=ends,
            weight_bytes=place.memory_bytes,
            adapter=adapter,
        )

    def _again(self, place: Place, seen: tuple[int, int, int]) -> Transformer:
        """The network of a place, which was `seen` when the model was loaded."""
        from app.llm.model.stored import whole

        try:
            if stamp(place) == seen:
                return whole(self.read(place, silent).network)
        except (LLMError, OSError) as error:
            told = f"model: the float32 weights of {place.name}, which this needs, cannot be read again: {error}"
            raise DataMissing(told, param="model") from error
        told = f"model: the files of {place.name} changed since it was loaded; unload it and load it again"
        raise DataMissing(told, param="model")
