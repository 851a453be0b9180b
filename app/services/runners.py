"""Which runner serves a network here: own kernels on a CPU, else PyTorch's operators; and in which format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Settings
from app.errors import NotReady
from app.llm.config import Dtype
from app.llm.progress import Tell, silent
from app.log import get_logger

if TYPE_CHECKING:
    from torch import Tensor

    from app.llm.engine.packed_probe import Found, NotFound
    from app.llm.engine.runner import Runner
    from app.llm.model.transformer import Transformer

log = get_logger(__name__)

SMALL_PARAMETERS = 10_000_000
"""Networks below this are fast in float32; what a format saves would not be felt."""
CHECKED_ROWS = 64
NEXT: tuple[Dtype, ...] = ("int4", "int8", "float32")
"""What `auto` turns to, format after format, where PyTorch does not serve one."""


def make(network: Transformer, settings: Settings, tell: Tell = silent) -> Runner:
    """A runner for `network`, in the format that the settings name or that suits it.

    Without kernels, PyTorch's own operators serve the format. Where they cannot, `auto` takes the next one, and the log
    says so; a format that was named is refused.

    Raises:
        LLMError: its weights have no place in the format that was named.
        NotReady: nothing on this machine serves that format.
    """
    from app.llm.engine.torch_runner import TorchRunner
    from app.llm.kernels.build import NoKernels
    from app.llm.kernels.native import NativeRunner, threads

    if network.token_embedding.weight.device.type != "cpu":
        return TorchRunner(network, kv_cache_tokens=settings.kv_cache_tokens)
    dtype = choose(network) if settings.dtype == "auto" else settings.dtype
    try:
        pool = threads(kernels_folder(settings), settings.threads or os.cpu_count() or 1)
    except NoKernels as error:
        log.warning("no_kernels", why=str(error), dtype=dtype)
        return without_kernels(network, dtype, settings)
    return NativeRunner(network, dtype, kv_cache_tokens=settings.kv_cache_tokens, threads=pool, tell=tell)


def without_kernels(
    network: Transformer, dtype: Dtype, settings: Settings, probe: Callable[[Dtype], Found | NotFound] | None = None
) -> Runner:
    """A runner on PyTorch's operators, in `dtype` or, with `auto`, in the next format that they serve.

    Args:
        probe: tells what serves a format; the operators of this machine if None.

    Raises:
        LLMError, NotReady: as `make`.
    """
    from app.llm.engine import packed_probe
    from app.llm.engine.packed_runner import PackedRunner
    from app.llm.engine.torch_runner import TorchRunner

    probe = probe or packed_probe.probe
    for tried in NEXT[NEXT.index(dtype) :] if dtype in NEXT else (dtype,):
        if tried == "float32":
            break
        # Four bits are too few for the head, as in our own kernels.
        layers, head = probe(tried), probe("int8" if tried == "int4" else tried)
        if isinstance(layers, packed_probe.Found) and isinstance(head, packed_probe.Found):
            return PackedRunner(network, layers, head, kv_cache_tokens=settings.kv_cache_tokens)
        why = "; ".join(one.why for one in (layers, head) if isinstance(one, packed_probe.NotFound))
        if settings.dtype == tried:
            raise NotReady(
                f"INKLING_DTYPE is {tried}, which nothing on this machine serves: there are no compiled kernels, and "
                f"PyTorch does not do it ({why}); `auto` takes what works",
                param="model",
            )
        log.warning("format_not_served", dtype=tried, why=why)
    return TorchRunner(network, kv_cache_tokens=settings.kv_cache_tokens)


def choose(network: Transformer) -> Dtype:
    """The fastest format whose texts are as good: 4 bits where the weights came in 4 bits, else 8."""
    if network.parameter_count() < SMALL_PARAMETERS:
        return "float32"
    return "int4" if is_four_bit(network.get_parameter("blocks.0.feed_forward.down.weight")) else "int8"


def is_four_bit(weight: Tensor) -> bool:
    """Whether blocks of 32 inputs of `weight` (out, in) hold 16 evenly spaced values: int4 then loses nothing."""
    rows = weight.detach().float()[:CHECKED_ROWS]
    if rows.size(1) % 32:
        return False
    blocks = rows.reshape(-1, 32)
    least = blocks.amin(1, keepdim=True)
    steps = (blocks - least) * (15 / (blocks.amax(1, keepdim=True) - least).clamp_min(1e-30))
    return bool((steps - steps.round()).abs().max() < 0.02)


def kernels_folder(settings: Settings) -> Path:
    """Where the kernels lie, or can be put."""
    from app.llm.kernels.build import compiled_path

    beside, own = settings.kernel_dirs
    return beside if compiled_path(beside).is_file() or os.access(beside.parent, os.W_OK) else own
