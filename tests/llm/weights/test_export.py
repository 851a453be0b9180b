"""Our networks in others' files: the same logits in `transformers`, and the same bits when they come back."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from app.llm.config import ModelConfig
from app.llm.errors import BadWeights
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.weights.export import write_gguf, write_hugging_face
from app.llm.weights.gguf import load_gguf, read_metadata
from tests.llm.weights.test_huggingface import load
from tests.weight_files import CONFIGS, TEMPLATE, VOCABULARY, a_folder, a_network, exported

TEXT = " sea hello, she's 42  years\nold 🌊"


def same_weights(got: Transformer, want: Transformer, atol: float = 0.0) -> None:
    theirs = dict(want.named_parameters())
    assert got.state_dict().keys() == want.state_dict().keys()
    for name, weight in got.named_parameters():
        torch.testing.assert_close(weight, theirs[name], atol=atol, rtol=0, msg=name)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_comes_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    network = a_network(CONFIGS[name])
    loaded = load(a_folder(tmp_path / "m", network))
    assert loaded.config == network.config
    same_weights(loaded, network)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("kind", "atol"), [("f32", 0.0), ("f16", 1e-3), ("q8_0", 0.01)])
def test_gguf_comes_back_and_is_read_by_the_gguf_package(tmp_path: Path, name: str, kind: Any, atol: float) -> None:
    network, path = a_network(CONFIGS[name]), tmp_path / "m.gguf"
    write_gguf(path, exported(network), kind)
    loaded = load_gguf(path)
    assert loaded.config == replace(network.config, drop_rate=0.0)  # which such files do not hold
    same_weights(loaded, network, atol)
    told = read_metadata(path)
    assert (told.licence, told.chat_template, told.eos_id, told.name) == ("mit", TEMPLATE, 0, "tiny")
    assert Vocabulary(told.tokens, told.token_types, told.merges, told.pre, told.eos_id).tokenizer().encode(
        TEXT
    ) == VOCABULARY.tokenizer().encode(TEXT)
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    embedding = gguf.dequantize(tensors["token_embd.weight"].data, tensors["token_embd.weight"].tensor_type)
    np.testing.assert_allclose(embedding, network.token_embedding.weight.numpy(), atol=max(atol, 1e-7))
    assert tensors["token_embd.weight"].tensor_type.name == kind.upper()
    assert tensors["output_norm.weight"].tensor_type.name == "F32"


def test_rows_that_do_not_divide_into_blocks_stay_at_16_bits(tmp_path: Path) -> None:
    config = ModelConfig(vocab_size=264, context_length=8, emb_dim=24, n_heads=2, n_layers=1, hidden_dim=64, tied=True)
    network = a_network(config)
    write_gguf(tmp_path / "m.gguf", exported(network), "q8_0")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert (kinds["token_embd.weight"], kinds["blk.0.ffn_down.weight"]) == ("F16", "Q8_0")
    same_weights(load_gguf(tmp_path / "m.gguf"), network, 0.01)


@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_a_number_too_large_for_16_bits_is_named(tmp_path: Path, kind: Any) -> None:
    network = a_network(CONFIGS["llama"])
    network.blocks[1].feed_forward.up.weight[0, 0] = 1e6
    with pytest.raises(BadWeights, match=r"'blk\.1\.ffn_up\.weight' holds a number that is too large"):
        write_gguf(tmp_path / "m.gguf", exported(network), kind)


def test_f16_folder_has_half_the_bytes_and_says_so(tmp_path: Path) -> None:
    network = a_network(CONFIGS["llama"])
    for dtype in ("F32", "F16"):
        (tmp_path / dtype).mkdir()
        write_hugging_face(tmp_path / dtype, exported(network), dtype)
    sizes = [(tmp_path / dtype / "model.safetensors").stat().st_size for dtype in ("F32", "F16")]
    assert 1.8 < sizes[0] / sizes[1] <= 2.0
    assert json.loads((tmp_path / "F16" / "config.json").read_text())["dtype"] == "float16"
    same_weights(load(tmp_path / "F16"), network, 1e-3)


@pytest.mark.parity
@pytest.mark.parametrize("name", CONFIGS)
@torch.inference_mode()
def test_transformers_loads_the_folder_unchanged(tmp_path: Path, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    transformers.utils.logging.disable_progress_bar()
    network = a_network(CONFIGS[name])
    folder = a_folder(tmp_path / "m", network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    ids = torch.randint(0, network.config.vocab_size, (2, 48))
    torch.testing.assert_close(network(ids), theirs.eval()(ids).logits, atol=1e-4, rtol=0)
    assert tokenizer.encode(TEXT) == VOCABULARY.tokenizer().encode(TEXT)
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert (tokenizer.eos_token, tokenizer.chat_template) == ("<|end|>", TEMPLATE)
