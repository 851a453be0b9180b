"""What the models in memory take, and what keeps another one out. Adapters count by their bytes, not as models."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import TooLarge
from app.services.engine_loop import EngineLoop
from app.services.loaded_model import LoadedModel
from app.services.loading import Loading, is_idle, is_loaded
from app.services.model_files import Place


def check(wanted: Place, budget: int) -> None:
    """Pass a model that fits where there is no other.

    Raises:
        TooLarge: it does not.
    """
    if wanted.memory_bytes > budget:
        needed = f"{wanted.memory_bytes:,} bytes of weights, more than the {budget:,} that models may take"
        raise TooLarge(f"model: {wanted.name} has {needed} (INKLING_MODEL_MEMORY_BYTES)", param="model")


def sizes(in_memory: Mapping[str, Loading], of_weights: Mapping[str, int]) -> dict[str, int]:
    """What each model takes now, with what was read again of it."""
    loaded = {name: held.result() for name, held in in_memory.items() if is_loaded(held)}
    again = {name: model.network.read_back_bytes for name, model in loaded.items()}
    return {name: size + again.get(name, 0) for name, size in of_weights.items()}


def in_the_way(
    wanted: Place, in_memory: Mapping[str, Loading], taken: Mapping[str, int], gone: set[str], places: int, budget: int
) -> str | None:
    """Which limit keeps `wanted` out once the models `gone` are, and their adapters with them; None where it fits.

    Args:
        taken: bytes of each model in memory.
        places: models that may be in memory.
        budget: bytes that they may take.
    """
    held = {name: held for name, held in in_memory.items() if name not in gone and held.base not in gone}
    whole = sum(each.base is None for each in held.values())
    if wanted.base is None and whole >= places:
        return f"all {whole} models that may be in memory (INKLING_LOADED_MODELS) are at work"
    used = sum(size for name, size in taken.items() if name in held)
    if used + wanted.memory_bytes > budget:
        at_work = f"{used:,} of the {budget:,} bytes that models may take (INKLING_MODEL_MEMORY_BYTES)"
        return f"models at work hold {at_work}, and {wanted.name} needs {wanted.memory_bytes:,}"
    return None


def is_kept(name: str, loading: Loading, model: LoadedModel, in_memory: Mapping[str, Loading]) -> bool:
    """Whether a model that was just loaded still has its place; an adapter, too, what it computes with."""
    if in_memory.get(name) is not loading:
        return False
    base = None if loading.base is None else in_memory.get(loading.base)
    return loading.base is None or (base is not None and is_loaded(base) and base.result().loop is model.loop)


def idle_beside(wanted: Place, in_memory: Mapping[str, Loading]) -> list[str]:
    """Models that may make room for another one, which its base is not; the least recently used first.

    For a checkpoint, other checkpoints make room before models do: who looks through those of a job one after the other
    would else put every model out of memory.
    """
    stay = {wanted.name, wanted.base.name if wanted.base else None}
    found = [name for name, held in in_memory.items() if name not in stay and is_idle(held)]
    return sorted(found, key=lambda name: "@" in wanted.name and "@" not in name)  # stable


def engines(in_memory: Mapping[str, Loading]) -> dict[str, EngineLoop]:
    """By name; adapters have none of their own."""
    loaded = {name: held for name, held in in_memory.items() if is_loaded(held) and held.base is None}
    return {name: held.result().loop for name, held in loaded.items()}
