"""A network whose weights still lie in a file: read part by part, as whoever packs them asks, or as a whole.

It has the parts that `Transformer` has, under the same names. Each is read afresh whenever it is asked for and is the
asker's own: who makes something else of a part and drops it needs memory for one part at a time, not for the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from torch import Tensor, nn

from app.llm.config import ModelConfig
from app.llm.model.layers import LayerNorm, RMSNorm, make_norm
from app.llm.model.shapes import weight_shapes
from app.llm.model.shell import without_weights
from app.llm.model.transformer import Transformer, TransformerBlock
from app.llm.progress import Tell, counted, silent

Module = TypeVar("Module", bound=nn.Module)

Read = Callable[[str], Iterable[tuple[str, Tensor]]]
"""The weights whose names begin so, one by one, in float32."""


class StoredNetwork:
    """A network in evaluation mode. What reading a part raises is the file's business."""

    def __init__(self, config: ModelConfig, read: Read) -> None:
        """Know where the weights are; none is read yet."""
        self.config = config
        self._read = read

    @property
    def token_embedding(self) -> nn.Embedding:
        return self._part("token_embedding", lambda: nn.Embedding(self.config.vocab_size, self.config.emb_dim))

    @property
    def position_embedding(self) -> nn.Embedding:
        return self._part("position_embedding", lambda: nn.Embedding(self.config.context_length, self.config.emb_dim))

    @property
    def blocks(self) -> Iterator[TransformerBlock]:
        """One after the other; the last one may go once the next is asked for."""
        return (
            self._part(f"blocks.{number}", lambda: TransformerBlock(self.config))
            for number in range(self.config.n_layers)
        )

    @property
    def final_norm(self) -> LayerNorm | RMSNorm:
        return self._part("final_norm", lambda: make_norm(self.config))

    @property
    def output(self) -> nn.Linear:
        return self._part("output", lambda: nn.Linear(self.config.emb_dim, self.config.vocab_size, bias=False))

    def get_parameter(self, name: str) -> Tensor:
        """One weight, as `nn.Module.get_parameter`."""
        return dict(self._read(name))[name]

    def parameter_count(self) -> int:
        """Weights, a tied head counted once."""
        return sum(weight.size for weight in weight_shapes(self.config))

    def whole(self, tell: Tell = silent) -> Transformer:
        """All of it in memory at once."""
        with without_weights():
            network = Transformer(self.config)
        count = sum(1 for _ in weight_shapes(self.config))
        network.load_state_dict(dict(counted(self._read(""), count, "reading weights", tell)), assign=True)
        return network.eval()

    def _part(self, name: str, make: Callable[[], Module]) -> Module:
        with without_weights():
            part = make()
        start = f"{name}."
        part.load_state_dict({full.removeprefix(start): weight for full, weight in self._read(start)}, assign=True)
        return part.eval()


def whole(network: Transformer | StoredNetwork, tell: Tell = silent) -> Transformer:
    """The network in memory: as it is where it is there, else read now."""
    return network.whole(tell) if isinstance(network, StoredNetwork) else network
