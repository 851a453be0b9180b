"""Safetensors files: a table of tensors that lie within the file, or a refusal."""

from __future__ import annotations

from app.llm.errors import BadWeights
from app.llm.weights.safetensors_file import open_safetensors
from tests.fuzz.files import a_file

LONGEST = 2048


def check(content: bytes) -> None:
    try:
        with a_file(content) as path:
            file = open_safetensors(path)
    except BadWeights as error:
        assert str(error)
        return
    assert sum(entry.size_bytes for entry in file.tensors.values()) <= len(content)
    for name, entry in file.tensors.items():
        try:
            assert tuple(file.read(name).shape) == entry.shape
        except BadWeights as error:
            assert str(error)
