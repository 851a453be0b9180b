"""GGUF: SmolLM2 as it ships, small files written by the gguf package, and files that are not what they say."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import BadWeights
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.byte_alphabet import BYTE_OF
from app.llm.tokenizer.gguf_bpe import from_vocabulary
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.weights import export
from app.llm.weights.gguf import load_gguf, metadata_of, read_metadata, weights_of
from app.llm.weights.gguf_file import open_gguf
from tests.llm.weights.llama_reference import copy_llama
from tests.weight_files import CONFIGS, a_gguf, a_network, exported

TENSORS = {
    "attention_norm.scale": "attn_norm",
    "attention.query.weight": "attn_q",
    "attention.key.weight": "attn_k",
    "attention.value.weight": "attn_v",
    "attention.out.weight": "attn_output",
    "feed_forward_norm.scale": "ffn_norm",
    "feed_forward.gate.weight": "ffn_gate",
    "feed_forward.up.weight": "ffn_up",
    "feed_forward.down.weight": "ffn_down",
}


def permuted(weight: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """As llama.cpp's converter stores q and k."""
    out, into = weight.shape
    return weight.reshape(heads, 2, out // heads // 2, into).swapaxes(1, 2).reshape(out, into)


def write_gguf(
    path: Path,
    model: Transformer,
    kind: str = "F32",
    change: Callable[[gguf.GGUFWriter], None] | None = None,
    leave_out: str = "",
    reshape: str = "",
    poison: str = "",
    architecture: str = "llama",
) -> None:
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.emb_dim)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.mlp_dim)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([f"t{i}" for i in range(config.vocab_size)])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["t 0"])
    writer.add_eos_token_id(2)
    if change:
        change(writer)
    tensors = {"token_embd.weight": model.token_embedding.weight, "output_norm.weight": model.final_norm.scale}
    ours = dict(model.named_parameters())
    for layer in range(config.n_layers):
        for name, theirs in TENSORS.items():
            tensors[f"blk.{layer}.{theirs}.weight"] = ours[f"blocks.{layer}.{name}"]
    for name, tensor in tensors.items():
        values = tensor.detach().numpy()
        if "attn_q" in name or "attn_k" in name:
            values = permuted(values, config.n_heads if "attn_q" in name else config.kv_heads)
        if name == leave_out:
            continue
        if name == reshape:
            values = values[:-1]
        if name == poison:
            values = np.where(np.arange(values.size) == 5, np.nan, values).astype(np.float32)
        if values.ndim == 1 or kind == "F32":
            writer.add_tensor(name, np.ascontiguousarray(values))
        else:
            quantised = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(name, gguf.quantize(np.ascontiguousarray(values), quantised), raw_dtype=quantised)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def tiny() -> Transformer:
    torch.manual_seed(3)
    return Transformer(ModelConfig(vocab_size=64, norm_eps=2**-17, **PRESETS["llama-tiny"])).eval()  # exact in float32


@pytest.mark.parametrize(("kind", "tolerance"), [("F32", 0), ("F16", 1e-4), ("BF16", 1e-3), ("Q8_0", 1e-3)])
def test_weights_come_back(tiny: Transformer, tmp_path: Path, kind: str, tolerance: float) -> None:
    write_gguf(tmp_path / "tiny.gguf", tiny, kind)
    loaded = load_gguf(tmp_path / "tiny.gguf")
    assert loaded.config == tiny.config
    for (name, got), want in zip(loaded.named_parameters(), tiny.parameters(), strict=True):
        torch.testing.assert_close(got, want.detach(), atol=tolerance, rtol=0, msg=name)


def test_smollm2_reads_as_it_says(assets: Path) -> None:
    metadata = read_metadata(assets / "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert metadata.config == ModelConfig(
        vocab_size=49_152, context_length=8192, emb_dim=576, n_heads=9, n_layers=30, n_kv_heads=3, hidden_dim=1536,
        norm="rmsnorm", position="rope", mlp="swiglu", tied=True,
        norm_eps=metadata.config.norm_eps, rope_base=100_000.0,
    )  # fmt: skip
    assert metadata.config.norm_eps == pytest.approx(1e-5)
    assert (metadata.eos_id, metadata.licence, metadata.pre) == (2, "apache-2.0", "smollm")
    assert metadata.chat_template is not None


PROMPTS = (
    "The sea was calm and",
    "Once upon a time there was a clock that",
    "def fibonacci(n):\n",
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "In 1969, 3 men",
)


@pytest.mark.parity
@torch.inference_mode()
def test_greedy_smollm2_is_transformers_token_for_token(assets: Path) -> None:
    """The same dequantised weights in both; ours goes by its cache, one token at a time."""
    transformers = pytest.importorskip("transformers")
    path = assets / "SmolLM2-135M-Instruct.Q4_1.gguf"
    metadata, model = read_metadata(path), load_gguf(path)
    theirs = copy_llama(transformers, model)
    tokenizer = from_vocabulary(metadata.tokens, metadata.token_types, metadata.merges, metadata.pre, metadata.eos_id)
    for prompt in PROMPTS:
        ids = torch.tensor([tokenizer.encode(prompt, parse_special=True)])
        cache, new, written = model.new_cache(1, ids.size(1) + 24), ids, []
        for _ in range(24):
            new = model.head(model.hidden(new, cache)[:, -1]).argmax(-1, keepdim=True)
            written.append(int(new))
            if written[-1] == metadata.eos_id:
                break
        expected = theirs.generate(ids, max_new_tokens=24, do_sample=False, eos_token_id=2, pad_token_id=2)
        assert written == expected[0, ids.size(1) :].tolist(), prompt
        torch.testing.assert_close(model(ids), theirs(ids).logits, atol=2e-3, rtol=1e-3)


def test_every_truncation_is_refused(tiny: Transformer, tmp_path: Path) -> None:
    whole = tmp_path / "tiny.gguf"
    write_gguf(whole, tiny)
    content = whole.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in [*range(1, 200, 7), *range(200, len(content) - 1, 9973), len(content) - 1]:
        cut.write_bytes(content[:length])
        with pytest.raises(BadWeights):
            load_gguf(cut)


def as_gpt2(path: Path, leave_out: str = "", output: str = "") -> None:
    """GPT-2 in a file, its tensors copied one by one from our own export of it."""
    whole = a_gguf(path.with_suffix(".whole"), a_network(CONFIGS["gpt2"]))
    reader, writer = gguf.GGUFReader(whole), gguf.GGUFWriter(path, "gpt2")
    for key, field in reader.fields.items():
        if key.startswith(("gpt2.", "tokenizer.")):
            kind, inner = field.types[0], field.types[-1]
            writer.add_key_value(key, field.contents(), kind, inner if kind is gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        if tensor.name != leave_out:
            writer.add_tensor(tensor.name, np.ascontiguousarray(tensor.data))
        if tensor.name == "token_embd.weight" and output:
            writer.add_tensor("output.weight", np.ascontiguousarray(tensor.data if output == "same" else -tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(("output", "tied"), [("", True), ("same", True), ("other", False)])
def test_gpt2s_head_is_tied_where_it_is_the_embedding_stored_twice(tmp_path: Path, output: str, tied: bool) -> None:
    as_gpt2(tmp_path / "g.gguf", output=output)
    loaded = load_gguf(tmp_path / "g.gguf")
    assert (loaded.config.tied, loaded.config.family, loaded.config.qkv_bias) == (tied, "gpt2", True)
    ids = torch.arange(12)[None]
    network = a_network(CONFIGS["gpt2"])
    torch.testing.assert_close(loaded(ids), network(ids) if tied else -network(ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["blk.0.attn_qkv.bias", "blk.1.attn_qkv.weight", "position_embd.weight"])
def test_a_tensor_that_gpt2_lacks_is_named(tmp_path: Path, name: str) -> None:
    as_gpt2(tmp_path / "g.gguf", leave_out=name)
    with pytest.raises(BadWeights, match=rf"'{name}' is missing"):
        load_gguf(tmp_path / "g.gguf")


def test_a_vocabulary_of_bytes_needs_no_merges(tmp_path: Path) -> None:
    vocabulary = Vocabulary(list(BYTE_OF), [1] * 256, [], "gpt-2")
    network = a_network(replace(CONFIGS["gpt2"], vocab_size=256))
    path = tmp_path / "bytes.gguf"
    export.write_gguf(path, exported(network, vocabulary=vocabulary, eos_id=None), "f32")
    file = open_gguf(path)
    assert "tokenizer.ggml.merges" not in file.values
    for merges in ({}, {"tokenizer.ggml.merges": []}):
        about = metadata_of(replace(file, values=dict(file.values) | merges))
        tokenizer = from_vocabulary(about.tokens, about.token_types, about.merges, about.pre, about.eos_id)
        assert tokenizer.encode("sea") == vocabulary.tokenizer().encode("sea")
    with pytest.raises(BadWeights, match=r"tokenizer\.ggml\.merges: a list of str"):
        metadata_of(replace(file, values=dict(file.values) | {"tokenizer.ggml.merges": [1]}))


def test_what_does_not_fit_is_named(tiny: Transformer, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"leave_out": "blk.1.ffn_up.weight"}, r"blk\.1\.ffn_up\.weight.*missing"),
        ({"reshape": "blk.0.attn_q.weight"}, r"blk\.0\.attn_q\.weight.*shape"),
        ({"kind": "Q5_1"}, r"token_embd\.weight.* is Q5_1, which is not read"),
        ({"poison": "blk.1.attn_norm.weight"}, r"blk\.1\.attn_norm\.weight.*NaN"),
        ({"change": lambda w: w.add_tensor("strange", np.zeros(4, np.float32))}, "strange"),
        ({"change": lambda w: w.add_rope_dimension_count(8)}, "rope.dimension_count"),
        ({"change": lambda w: w.add_rope_scaling_factor(2.0)}, "rope.scaling.factor"),
        ({"change": lambda w: w.add_vocab_size(65)}, "vocab_size"),
        ({"change": lambda w: w.add_eos_token_id(64)}, "eos_token_id"),
        ({"change": lambda w: w.add_tokenizer_model("llama")}, "the tokenizer 'llama'"),
        ({"change": lambda w: w.add_token_list([1, 2])}, "tokens: a list of str"),
        ({"change": lambda w: w.add_block_count(1_000_000)}, "1000000 blocks"),
        ({"change": lambda w: w.add_head_count(3)}, "n_heads"),
        ({"change": lambda w: w.add_layer_norm_rms_eps(float("nan"))}, "norm_eps"),
        ({"change": lambda w: w.add_rope_freq_base(float("nan"))}, "rope_base"),
        ({"change": lambda w: w.add_add_bos_token(True)}, r"tokenizer\.ggml\.add_bos_token"),
        ({"change": lambda w: w.add_add_eos_token(True)}, r"tokenizer\.ggml\.add_eos_token"),
        ({"architecture": "gemma"}, "the architecture 'gemma'"),
    ]
    for number, (change, message) in enumerate(cases):
        path = tmp_path / f"{number}.gguf"
        write_gguf(path, tiny, **change)
        with pytest.raises(BadWeights, match=message):
            load_gguf(path)


def test_blocks_that_a_file_only_claims_take_no_memory(tiny: Transformer, tmp_path: Path) -> None:
    """Names of a million blocks took four gigabytes before the tensors were counted."""
    path = tmp_path / "claims.gguf"
    write_gguf(path, tiny, change=lambda writer: writer.add_block_count(100_000))
    file = open_gguf(path)
    tracemalloc.start()
    try:
        with pytest.raises(BadWeights, match="too few for 100000 blocks"):
            weights_of(file)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
