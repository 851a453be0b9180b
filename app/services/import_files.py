"""Which of some files make a model: weights, configuration, tokenizer. Pickled weights are known, and refused.

Knows names and first bytes; what stands in the files is read elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidFile, UnsupportedFormat

Files = Mapping[str, Path]
"""Paths by file name."""

INDEX = "model.safetensors.index.json"
CONFIGS = ("config.json", "hparams.json")  # Hugging Face's (and the book's, and ours); the released GPT-2's
VOCABS, MERGES = ("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe")
BESIDE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "chat_template.jinja",
    "chat_template.json",
)
WEIGHTS = (".safetensors", ".gguf")
ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KNOWN = (ADAPTER, INDEX, *CONFIGS, *VOCABS, *MERGES, *BESIDE)
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack", ".npz", ".npy")
_PICKLED_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
HOW_TO_CONVERT = (
    "it may be a pickle, which can run a program when it is read. Only safetensors and GGUF are read; where "
    "transformers is installed, this converts it: "
    "AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)"
)


@dataclass(frozen=True)
class ModelFiles:
    """The files of one model. Either `gguf`, or `weights` with a `config`."""

    all: Files
    gguf: Path | None
    weights: tuple[str, ...]

    def first(self, *names: str) -> Path | None:
        """The first of these files that is there."""
        return next((self.all[name] for name in names if name in self.all), None)

    @property
    def used(self) -> dict[str, Path]:
        """All that is read, by name."""
        names = [name for name in self.all if name in KNOWN or name in self.weights]
        return {name: self.all[name] for name in names} | ({self.gguf.name: self.gguf} if self.gguf else {})


def is_readable(name: str) -> bool:
    """Whether a file of this name would be looked at."""
    return name in KNOWN or name.endswith(WEIGHTS)


def look(files: Files, param: str) -> ModelFiles:
    """Tell what the files are by their names and first bytes.

    Args:
        param: the field of the request that brought them.

    Raises:
        UnsupportedFormat: the weights are pickled, or of no format that is read.
        InvalidFile: there are no weights, several models, or no configuration beside safetensors.
    """
    if ADAPTER in files:
        told = f"these files are an adapter ({ADAPTER}), which is imported under its base's name, a colon, and its own"
        raise InvalidFile(f"{param}: {told}", param="name")
    gguf = [name for name in files if name.endswith(".gguf")]
    weights = [name for name in files if name.endswith(".safetensors")]
    for name in (*gguf, *weights):
        _refuse_pickled(name, files[name], param)
    if not gguf and not weights:
        pickled = next((name for name in sorted(files) if name.endswith(PICKLED)), None)
        if pickled is not None:
            raise UnsupportedFormat(f"{param}: {pickled} is not read: {HOW_TO_CONVERT}", param=param)
        raise InvalidFile(f"{param}: there are no weights: no .safetensors and no .gguf file", param=param)
    if len(gguf) > 1 or (gguf and weights):
        shown = ", ".join(sorted((*gguf, *weights))[:4])
        raise InvalidFile(f"{param}: {shown}: several models where one is expected; name one GGUF file", param=param)
    if gguf:
        return ModelFiles(files, files[gguf[0]], ())
    look_beside(files, param)
    chosen = ["model.safetensors"] if INDEX not in files and "model.safetensors" in weights else sorted(weights)
    return ModelFiles(files, None, tuple(chosen))


def look_beside(files: Files, param: str) -> ModelFiles:
    """As `look`, of the files beside safetensors alone: those may be elsewhere still.

    Raises:
        InvalidFile: there is no configuration.
    """
    if not any(name in files for name in CONFIGS):
        raise InvalidFile(f"{param}: there is no config.json beside the weights", param=param)
    return ModelFiles(files, None, ())


def _refuse_pickled(name: str, path: Path, param: str) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLED_STARTS) and name.endswith(".safetensors"):
        # A header of 0x0280 bytes or so begins like a pickle; its ninth byte then tells.
        with path.open("rb") as file:
            if file.read(9)[8:] == b"{":
                return
    if start.startswith(_PICKLED_STARTS):
        raise UnsupportedFormat(f"{param}: {name} is not what its name says: {HOW_TO_CONVERT}", param=param)
