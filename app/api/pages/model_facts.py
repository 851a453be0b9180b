"""What the pages of models say of one: its size by part, its configuration, where it can be used and taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from app.llm.model.shapes import FLOAT_BYTES, PARTS
from app.schemas.model import ModelOut
from app.services.family_tree import Kin
from app.services.model_info import ModelInfo

PART_NAMES = {"feed_forward": "feed-forward", "embedding": "embeddings"}
SOURCES = {
    "builtin": "ships with Inkling",
    "job": "trained here",
    "import": "imported",
    "checkpoint": "a checkpoint",
    "gone": "not here any more",
}
FORMATS = (
    ("safetensors", "download", "Its weights alone, under our own names"),
    ("Hugging Face, f32", "export?format=huggingface", "A tar of a folder that transformers loads"),
    ("Hugging Face, f16", "export?format=huggingface&type=f16", "The same, half as large"),
    ("GGUF f32", "export?format=gguf", "For llama.cpp"),
    ("GGUF f16", "export?format=gguf&type=f16", "For llama.cpp, half as large"),
    ("GGUF q8_0", "export?format=gguf&type=q8_0", "For llama.cpp, a quarter as large"),
)
PEFT = ("peft", "export?format=peft", "The adapter alone, as peft loads it")
LIMIT = 12
"""Of classes that are named."""


@dataclass(frozen=True)
class Part:
    """A part of a network; `share` of the largest part that is shown beside it, from 0 to 1."""

    key: str
    name: str
    parameters: int
    size_bytes: int
    share: float


def parts(model: ModelInfo, most: int | None = None) -> list[Part]:
    """Those that have weights; `most` bytes fill a whole bar, by default the model's largest part."""
    most = most or max(model.bytes_by_part.values())
    return [
        Part(part, PART_NAMES.get(part, part), size // FLOAT_BYTES, size, size / most)
        for part in PARTS
        if (size := model.bytes_by_part[part])
    ]


def config(model: ModelInfo) -> dict[str, str]:
    """Its configuration, one line for each field; those of the network within an adapter or classifier as they are."""
    told = ModelOut.model_validate(model).config.model_dump()
    flat: dict[str, Any] = told.pop("body", {}) | {
        f"lora.{name}": value for name, value in (told.pop("lora", None) or {}).items()
    }
    return {name: _written(value) for name, value in (flat | told).items()}


def _written(value: Any) -> str:
    if isinstance(value, list | tuple):
        rest = f" and {len(value) - LIMIT} more" if len(value) > LIMIT else ""
        return ", ".join(map(str, value[:LIMIT])) + rest
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value is None else str(value)


def page_of(name: str) -> str:
    """The address of a model's page."""
    return f"/ui/models/{quote(name, safe=':@')}"


def uses(model: ModelInfo) -> list[tuple[str, str]]:
    """Where it can be used, each with the words of the link."""
    if not model.available:
        return []
    chosen = urlencode({"model": model.name}, safe=":@")
    measured = f"/ui/jobs?recipe=evaluate&{chosen}&kind="
    if model.family == "classifier":
        return [(f"{measured}accuracy", "Evaluate")]
    if not model.writes:
        return [(f"/ui/embeddings?show=frequent&{chosen}", "Embeddings")]
    return [
        (f"/ui/generate?{chosen}", "Generate"),
        (f"/ui/attention?{chosen}", "Attention"),
        (f"/ui/embeddings?show=frequent&{chosen}", "Embeddings"),
        (f"{measured}perplexity", "Evaluate"),
    ]


def formats(model: ModelInfo) -> list[tuple[str, str, str]]:
    """How it can be taken elsewhere: words, address, what is in it. What writes nothing has one way."""
    if not model.available:
        return []
    offered = FORMATS if model.writes else FORMATS[:1]
    if model.family == "adapter":
        offered = (*offered, PEFT)
    return [(name, f"/models/{quote(model.name, safe=':@')}/{path}", about) for name, path, about in offered]


def about(kin: Kin) -> str:
    """How a model in the tree came to be."""
    if kin.recipe is None:
        return SOURCES.get(kin.source, kin.source)
    return f"by {kin.recipe}" + (", an adapter" if kin.is_adapter else "")


def figure(value: Any) -> str:
    """A figure of an evaluation, short."""
    if isinstance(value, bool) or value is None:
        return "–" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {figure(each)}" for name, each in value.items())
    return str(value)
