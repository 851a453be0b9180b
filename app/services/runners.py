"""Which runner serves a network here: on a GPU, by own kernels on a CPU, or by PyTorch's operators; in which format."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from app.config import Settings
from app.errors import NotReady
from app.llm.config import Dtype
from app.llm.progress import Tell, silent
from app.log import get_logger
from app.services import machine

if TYPE_CHECKING:
    from torch import Tensor

    from app.llm.engine.device_runner import DeviceRunner
    from app.llm.engine.packed_probe import Found, NotFound
    from app.llm.engine.runner import Runner
    from app.llm.model.stored import StoredNetwork
    from app.llm.model.transformer import Transformer

log = get_logger(__name__)


class DeviceFull(NotReady):
    """The GPU's memory does not suffice beside what it holds."""


SMALL_PARAMETERS = 10_000_000
"""Networks below this are fast in float32; what a format saves would not be felt."""
CHECKED_ROWS = 64
NEXT: tuple[Dtype, ...] = ("int4", "int8", "float32")
"""What `auto` turns to, format after format, where PyTorch does not serve one."""


def make(network: Transformer | StoredNetwork, settings: Settings, tell: Tell = silent) -> Runner:
    """A runner for `network`, in the format that the settings name or that suits it.

    Without kernels, PyTorch's own operators serve the format. Where they cannot, `auto` takes the next one, and the log
    says so; a format that was named is refused.

    Raises:
        LLMError: its weights have no place in the format that was named.
        NotReady: nothing on this machine serves that format, or it lacks the device that the settings name.
    """
    from app.llm.kernels.build import NoKernels
    from app.llm.kernels.native import NativeRunner, threads

    if choose_device(settings) == "cuda":
        return on_cuda(network, settings)
    dtype = choose(network) if settings.dtype == "auto" else settings.dtype
    try:
        pool = threads(kernels_folder(settings), settings.threads or machine.cores())
    except NoKernels as error:
        log.warning("no_kernels", why=str(error), dtype=dtype)
        return without_kernels(network, dtype, settings, tell=tell)
    return NativeRunner(network, dtype, kv_cache_tokens=settings.kv_cache_tokens, threads=pool, tell=tell)


def choose_device(settings: Settings) -> Literal["cpu", "cuda"]:
    """Where text is generated.

    Raises:
        NotReady: there is no such device.
    """
    import torch

    if settings.device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if settings.device == "cuda":
        raise NotReady(
            "INKLING_DEVICE is cuda, and PyTorch sees no CUDA device here; `auto` or `cpu` would run", param="model"
        )
    return "cpu"


def on_cuda(network: Transformer | StoredNetwork, settings: Settings) -> DeviceRunner:
    """A runner for a copy of `network` on the GPU.

    Raises:
        NotReady: the format that the settings name is not served there.
        DeviceFull: the GPU's memory does not suffice.
    """
    import torch

    from app.llm.engine.device_runner import DeviceRunner
    from app.llm.engine.graphs import CudaCapture

    dtype = choose_on_cuda(network, settings)
    device = torch.device("cuda")
    try:
        return DeviceRunner(
            network,
            dtype,
            device=device,
            kv_cache_tokens=settings.kv_cache_tokens,
            capture=CudaCapture(device),
            on_failure=lambda why: log.warning("no_cuda_graphs", why=why),
        )
    except torch.OutOfMemoryError as error:
        raise DeviceFull(
            "the GPU has no memory for the model and its keys and values; a smaller INKLING_KV_CACHE_TOKENS takes "
            "less, INKLING_DEVICE=cpu none",
            param="model",
        ) from error


def choose_on_cuda(network: Transformer | StoredNetwork, settings: Settings) -> Dtype:
    """The format on a GPU: the one that was named, or bfloat16 where the GPU computes in it and it would be felt.

    Raises:
        NotReady: another one was named.
    """
    import torch

    from app.llm.engine.device_runner import SERVED

    if settings.dtype in SERVED:
        return settings.dtype
    if settings.dtype != "auto":
        raise NotReady(
            f"INKLING_DTYPE is {settings.dtype}, which is not served on CUDA: {', '.join(SERVED)} are; `auto` takes "
            "what works, and INKLING_DEVICE=cpu serves every format",
            param="model",
        )
    has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return "bfloat16" if has_bfloat16 and network.parameter_count() >= SMALL_PARAMETERS else "float32"


def without_kernels(
    network: Transformer | StoredNetwork,
    dtype: Dtype,
    settings: Settings,
    probe: Callable[[Dtype], Found | NotFound] | None = None,
    tell: Tell = silent,
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
    from app.llm.model.stored import whole

    probe = probe or packed_probe.probe
    for tried in NEXT[NEXT.index(dtype) :] if dtype in NEXT else (dtype,):
        if tried == "float32":
            break
        # Four bits are too few for the head, as in our own kernels.
        layers, head = probe(tried), probe("int8" if tried == "int4" else tried)
        if isinstance(layers, packed_probe.Found) and isinstance(head, packed_probe.Found):
            return PackedRunner(network, layers, head, kv_cache_tokens=settings.kv_cache_tokens, tell=tell)
        why = "; ".join(one.why for one in (layers, head) if isinstance(one, packed_probe.NotFound))
        if settings.dtype == tried:
            raise NotReady(
                f"INKLING_DTYPE is {tried}, which nothing on this machine serves: there are no compiled kernels, and "
                f"PyTorch does not do it ({why}); `auto` takes what works",
                param="model",
            )
        log.warning("format_not_served", dtype=tried, why=why)
    return TorchRunner(whole(network, tell), kv_cache_tokens=settings.kv_cache_tokens)


def choose(network: Transformer | StoredNetwork) -> Dtype:
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
