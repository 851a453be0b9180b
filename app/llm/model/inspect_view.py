"""What may be looked at of a forward pass, and how large it is: names, shapes, bytes, from a config alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.llm.config import ModelConfig, SamplingParams

WANTS = (
    "embeddings",  # token and position vectors, and their sum
    "input",  # the stream that a layer's attention reads, and the same normalised
    "queries",  # of each head, of the tokens that look; positions are in them where they turn (rotary)
    "keys",  # of all tokens; heads that share keys and values have the same
    "values",  # likewise
    "products",  # q·k
    "scores",  # q·k / sqrt(D), before the mask
    "masked",  # the scores, -inf where the key comes later than the query
    "attention",  # softmax of the masked scores
    "maps",  # attention at a glance: its largest number in each of some blocks, and its habits
    "context",  # attention times the values: what each head reads
    "residual",  # the stream after the embeddings, and after each half of a block
    "norms",  # lengths of its vectors
    "logit_lens",  # the likeliest tokens, if the network ended after a layer
    "loss",  # of each token's successor, and its rank among all
    "logits",  # of all tokens, and log-probabilities of the draw
    "next",  # both for the likeliest tokens alone
)
MAP_SIDE = 40  # blocks to a side of a map, where there are as many tokens
BYTES_A_NUMBER = 4
BYTES_A_ROW = 64  # of JSON that one named token takes, in the lens and the like


@dataclass(frozen=True)
class View:
    """What to look at, in the order in which it will be given. Indexes count from 0.

    `tokens` are the positions that look: rows of an attention matrix, whose columns are always all tokens. `top` is how
    many of the likeliest tokens `logit_lens` and `next` name.
    """

    want: frozenset[str]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    tokens: tuple[int, ...]
    top: int
    sampling: SamplingParams

    def judged(self, seen: int) -> tuple[int, ...]:
        """Those of its tokens that have a next one among `seen` tokens, so that a loss can be told."""
        return tuple(position for position in self.tokens if position + 1 < seen)


def shapes(config: ModelConfig, seen: int, view: View) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that `view` asks for of a pass over `seen` tokens, by `want.part`."""
    layers, heads, rows = len(view.layers), len(view.heads), len(view.tokens)
    top, judged = min(view.top, config.vocab_size), len(view.judged(seen))
    states: dict[str, tuple[int, ...]] = {
        "embedding": (rows,),
        "after_attention": (layers, rows),
        "after_feed_forward": (layers, rows),
    }
    vectors = ("token", "position", "sum") if config.position == "learned" else ("token", "sum")
    parts: dict[str, dict[str, tuple[int, ...]]] = {
        "embeddings": dict.fromkeys(vectors, (rows, config.emb_dim)),
        "input": dict.fromkeys(("stream", "normed"), (layers, rows, config.emb_dim)),
        "queries": {"": (layers, heads, rows, config.head_dim)},
        "keys": {"": (layers, heads, seen, config.head_dim)},
        "values": {"": (layers, heads, seen, config.head_dim)},
        **{part: {"": (layers, heads, rows, seen)} for part in ("products", "scores", "masked", "attention")},
        "maps": {
            "largest": (layers, heads, min(rows, MAP_SIDE), min(seen, MAP_SIDE)),
            **dict.fromkeys(("to_first", "to_previous", "to_itself"), (layers, heads)),
        },
        "context": {"": (layers, heads, rows, config.head_dim)},
        "residual": {part: (*shape, config.emb_dim) for part, shape in states.items()},
        "norms": states,
        "logit_lens": {"ids": (layers, rows, top), "logprobs": (layers, rows, top)},
        "loss": {"loss": (judged,), "rank": (judged,)},
        "logits": {"raw": (rows, config.vocab_size), "sampled": (rows, config.vocab_size)},
        "next": dict.fromkeys(("ids", "logits", "logprobs", "sampled_logprobs"), (rows, top)),
    }
    return {
        f"{want}.{part}" if part else want: shape
        for want in WANTS
        if want in view.want
        for part, shape in parts[want].items()
    }


def sizes(config: ModelConfig, seen: int, view: View) -> dict[str, int]:
    """Bytes that each thing wanted takes: of its float32 tensors, or of the rows of named tokens.

    The lens counts the states that it reads, too: they stand for its work, a head of V × E for each.
    """
    found = dict.fromkeys((want for want in WANTS if want in view.want), 0)
    for name, shape in shapes(config, seen, view).items():
        found[name.split(".")[0]] += math.prod(shape) * BYTES_A_NUMBER
    rows, top = len(view.tokens), min(view.top, config.vocab_size)
    states = len(view.layers) * rows
    named = {
        "logit_lens": states * (config.emb_dim * BYTES_A_NUMBER + top * BYTES_A_ROW),
        "loss": len(view.judged(seen)) * BYTES_A_ROW,
        "next": rows * top * BYTES_A_ROW,
    }
    return found | {want: size for want, size in named.items() if want in found}
