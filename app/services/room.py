"""What the models in memory take, and what keeps another one out. Adapters count by their bytes, not as models."""

from __future__ import annotations

from collections.abc import Mapping

from app.services.loaded_model import LoadedModel
from app.services.loading import Loading, is_loaded
from app.services.model_files import Place


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


def has_its_base(loading: Loading, model: LoadedModel, in_memory: Mapping[str, Loading]) -> bool:
    """Whether what an adapter computes with is in memory still; True for any other model."""
    base = None if loading.base is None else in_memory.get(loading.base)
    return loading.base is None or (base is not None and is_loaded(base) and base.result().loop is model.loop)
