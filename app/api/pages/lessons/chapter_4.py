"""Chapter 4: what a GPT is made of, what it weighs, and what it writes before it has learnt anything."""

from __future__ import annotations

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.common import DRAWN, MODEL
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import Chapter, See, Step

_CURVE = [value / 4 for value in range(-16, 17)]
_PRESETS = ("gpt2-124m", "gpt2-355m", "gpt2-774m", "gpt2-1558m")
_PARTS = "ch04.params.parts"

CHAPTER = Chapter(
    4,
    "A whole network",
    "Attention mixes tokens. Around it stand parts that keep numbers in bounds, work on each token by itself, and let "
    "what came in pass by. Put together and stacked, they are a GPT. Look at each part, weigh it, let it write.",
    (
        Step(
            "norm",
            "Numbers kept in bounds",
            "4.2",
            Ask(
                "/lessons/layer-norm",
                "Draw two rows and norm them",
                {},
                (
                    Field("rows", "Rows", 2, "integer"),
                    Field("inputs", "Numbers that go in", 5, "integer"),
                    Field("features", "Numbers a row", 6, "integer"),
                    Field("seed", "Seed", 123, "integer"),
                ),
                (
                    Check("Before", "before", "ch04.ln.input", style="decimals"),
                    Check("Mean of each row", "mean", "ch04.ln.stats", "mean", style="decimals"),
                    Check("Variance of each row", "variance", "ch04.ln.stats", "var", style="decimals"),
                    Check("Standardised by hand", "standardised", "ch04.ln.manual", style="decimals"),
                    Check("By the layer", "normed", "ch04.ln.layer", "out", style="decimals"),
                    Check("Mean after it", "mean_after", "ch04.ln.layer", "row_mean", style="decimals"),
                    Check("Variance after it", "variance_after", "ch04.ln.layer", "row_var_biased", style="decimals"),
                ),
                DRAWN,
            ),
        ),
        Step(
            "feed_forward",
            "Each token by itself",
            "4.3",
            Ask(
                "/lessons/feed-forward",
                "Bend and widen",
                {},
                (
                    Field("values", "Numbers to bend", _CURVE, "numbers"),
                    Field("emb_dim", "Numbers a token", BOOK["ch04.config"]["expected"]["emb_dim"], "integer"),
                ),
                (
                    Check("Shape of what comes out", "shapes.2", "ch04.ffn.shape"),
                    Check("Weights", "parameters", _PARTS, "feed_forward", style="count"),
                ),
                "Shapes and counts follow from the width: each number must be the same.",
                "bend",
            ),
        ),
        Step(
            "shortcuts",
            "A way around",
            "4.4",
            Ask(
                "/lessons/shortcuts",
                "Send a gradient back",
                {},
                (
                    Field("layer_sizes", "Sizes of the layers", [3, 3, 3, 3, 3, 1], "numbers"),
                    Field("vector", "What goes in", [1.0, 0.0, -1.0], "numbers"),
                    Field("seed", "Seed", 123, "integer"),
                ),
                (
                    Check("Mean gradient, without", "without", "ch04.shortcut.off", style="exponent"),
                    Check("With shortcuts", "with_shortcuts", "ch04.shortcut.on", style="exponent"),
                ),
                "Weights are drawn by torch's generator on the CPU; the same seed draws the same, to five digits.",
                "gradients",
            ),
        ),
        Step(
            "block",
            "A block, and a stack of them",
            "4.5",
            Ask(
                "/inspect",
                "Follow the last token through",
                {"want": ["norms"]},
                (MODEL, Field("text", "Text", "The lighthouse keeper lost her key")),
                view="stream",
            ),
            (See(places.ATTENTION, "Every layer, number by number"),),
        ),
        Step(
            "size",
            "What it weighs",
            "4.6",
            Ask(
                "/lessons/size",
                "Count",
                {},
                (
                    Field("preset", "Size", _PRESETS[0], "choice", choices=tuple((name, name) for name in _PRESETS)),
                    Field("tokens", "Tokens of a pass", 2048, "integer"),
                ),
                (
                    Check("Weights", "parameters", "ch04.params", "gpt2-small/total", style="count"),
                    Check("With one table for both ends", "tied", "ch04.params", "gpt2-small/tied", style="count"),
                    Check(
                        "MB, four bytes a weight",
                        "megabytes",
                        "ch04.params",
                        "gpt2-small/mb_fp32",
                        style="decimals",
                        digits=2,
                        absolute=0.005,
                    ),
                    Check("Attention of one block", "attention", _PARTS, "attention_no_bias", style="count"),
                    Check("Feed-forward of one block", "feed_forward", _PARTS, "feed_forward", style="count"),
                    Check("One block", "block", _PARTS, "block_no_bias", style="count"),
                    Check("Operations of a pass", "flops", "ch04.flops", "small", style="exponent", digits=1),
                ),
                "Counted on the network itself, which is not allocated. The book rounds operations to two digits.",
                "parts",
            ),
            (See(places.MODELS, "The same of the models that are here"),),
        ),
        Step(
            "untrained",
            "It writes, and knows nothing",
            "4.7",
            Ask(
                "/lessons/untrained",
                "Draw it and let it write",
                {},
                (
                    Field("texts", "Beginning", [BOOK["ch04.generate6"]["inputs"]["prompt"]], "lines"),
                    Field("max_new_tokens", "New tokens", 6, "integer"),
                    Field("seed", "Seed", 123, "integer"),
                ),
                (
                    Check("Ids", "texts.0.ids", "ch04.generate6", "ids"),
                    Check("Text", "texts.0.text", "ch04.generate6", "text"),
                ),
                "Each token is the likeliest one, by weights that the seed decides. To draw them takes some seconds.",
                "untrained",
            ),
            (See("/ui/learn/5", "Teach it"), See(places.GENERATE, "Let a trained one write")),
        ),
    ),
)
