"""GGUF files: a network with its tokenizer, or a refusal; what is read is within the file."""

from __future__ import annotations

from app.llm.errors import BadVocabulary, BadWeights
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.weights.gguf import GGUFTensors, metadata_of, weights_of
from app.llm.weights.gguf_file import GGUFFile, open_gguf
from tests.fuzz.files import a_file

LONGEST = 16 * 1024


def check(content: bytes) -> None:
    try:
        with a_file(content) as path:
            file = open_gguf(path)
    except BadWeights as error:
        assert str(error)
        return
    check_tensors(file, len(content))
    try:
        told = metadata_of(file)
        tokenizer = Vocabulary(told.tokens, told.token_types, told.merges, told.pre, told.eos_id).tokenizer()
        assert tokenizer.vocab_size == told.config.vocab_size
        for _, weight in weights_of(file).starting(""):
            assert weight.isfinite().all()
    except (BadWeights, BadVocabulary) as error:
        assert str(error)


def check_tensors(file: GGUFFile, size_bytes: int) -> None:
    assert sum(entry.size_bytes for entry in file.tensors.values()) <= size_bytes
    for name, entry in file.tensors.items():
        try:
            assert tuple(GGUFTensors(file).read(name).shape) == entry.shape
        except BadWeights as error:
            assert str(error)
