"""What the kernels are given, laid out as in `src/matrix.h` and `src/network.h`. Addresses are of the caller's."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_float, c_int32, c_void_p


class Norm(Structure):
    """What a norm multiplies with and adds; no shift in the Llama family."""

    _fields_ = [("scale", c_void_p), ("shift", c_void_p)]


class Matrix(Structure):
    """A packed matrix, and its bias where it has one."""

    _fields_ = [
        ("format", c_int32),
        ("rows", c_int32),
        ("columns", c_int32),
        ("reserved", c_int32),
        ("values", c_void_p),
        ("scales", c_void_p),
        ("bias", c_void_p),
    ]


class Layer(Structure):
    """One block."""

    _fields_ = [
        ("attention_norm", Norm),
        ("qkv", Matrix),
        ("out", Matrix),
        ("feed_forward_norm", Norm),
        ("up", Matrix),
        ("down", Matrix),
    ]


class Network(Structure):
    """All that a step needs but its tokens."""

    _fields_ = [
        *((name, c_int32) for name in ("layer_count", "emb_dim", "heads", "kv_heads", "head_dim", "mlp_dim")),
        *((name, c_int32) for name in ("vocab_size", "is_gated", "format", "is_kv_half")),
        ("norm_eps", c_float),
        ("block_count", c_int32),
        ("layers", POINTER(Layer)),
        ("final_norm", Norm),
        ("embedding", Matrix),
        ("head", Matrix),
        *((name, c_void_p) for name in ("positions", "cosines", "sines", "keys", "values")),
    ]


class Step(Structure):
    """Tokens of several requests, and where their logits go."""

    _fields_ = [
        ("tokens", c_int32),
        ("rows", c_int32),
        *((name, c_void_p) for name in ("ids", "positions", "tables", "blocks", "wanted", "logits")),
        ("adapters", c_void_p),
        ("most_rank", c_int32),
        ("reserved", c_int32),
    ]
