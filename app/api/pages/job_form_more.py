"""The settings of a job that its form folds away, in groups and words."""

from __future__ import annotations

from dataclasses import dataclass

from app.api.pages.job_fields import CONFIGS, FormField
from app.schemas.job import ColumnsSpec


@dataclass(frozen=True)
class Group:
    legend: str
    fields: tuple[FormField, ...]
    when: str = ""
    """What must hold for it to be there, in the script's words."""


def _column(role: str) -> FormField:
    return FormField(f"columns.{role}", role.capitalize(), f"Which column is the {role}.", empty="by its name")


SHAPE = {
    "context_length": ("Context", "Tokens read at once, at most."),
    "emb_dim": ("Width", "Numbers of a token's vector."),
    "n_heads": ("Heads", "That share the width among them."),
    "n_layers": ("Layers", "Blocks, one behind the other."),
    "hidden_dim": ("Inner width", "Of a block's feed-forward part."),
    "n_kv_heads": ("Heads of keys", "Fewer than heads: groups share them."),
    "drop_rate": ("Dropout", "Share of numbers left out while it learns."),
    "norm_eps": ("Norm's epsilon", "Keeps the norm from dividing by nothing."),
    "rope_base": ("Base of RoPE", "The slowest turn of rotary positions."),
    "vocab_size": ("Tokens known", "As many as the tokenizer has."),
    "norm": ("Norm", "How vectors are brought to one size."),
    "position": ("Position", "How a token knows its place."),
    "mlp": ("Feed-forward", "Its activation."),
    "qkv_bias": ("Bias of Q, K, V", "An addend of each query, key and value."),
    "tied": ("Head is the embedding", "One table for both ends."),
}
"""Fields of a network's shape: label, and what it is in a sentence."""

MORE = (
    Group(
        "Columns", tuple(_column(role) for role in ColumnsSpec.model_fields if role not in ("text", "label")), "rows"
    ),
    Group(
        "Batches",
        (
            FormField("train.batch_size", "Batch size", "Texts, rows or words."),
            FormField("train.accumulate", "Batches a step", "Their mean gradient makes one step."),
            FormField(
                "train.context_length",
                "Tokens a window",
                "Read at once, each foretelling the next.",
                empty="at most 256",
            ),
            FormField(
                "train.stride", "Window to window", "Fewer tokens than a window: they overlap.", empty="a window's"
            ),
            FormField("train.max_tokens", "Tokens a row", "What is longer is cut.", empty="the longest"),
            FormField("train.template", "Template", "How a dialogue is written as text.", empty="its own"),
            FormField("train.batching", "Rows of a batch", "Of one length, so that little is padding, or by chance."),
            FormField("train.reads", "Class is read off", "The token whose vector decides."),
            FormField("train.order", "Chance", "book: drawn as the book does."),
            FormField("train.window", "Words to each side", "That count as a word's neighbours."),
            FormField("train.negatives", "Words by chance", "Told apart from each neighbour."),
            FormField("train.subsample", "Thin out above", "Share of a word in the text."),
            FormField(
                "train.mask_prompt",
                "Learn the answers alone, not the prompts",
                "What stands in a task is read, not foretold.",
            ),
            FormField(
                "train.balanced", "Of each class as many as of the smallest", "Else a rare class is seldom seen."
            ),
        ),
    ),
    Group(
        "Learning",
        (
            FormField("train.learning_rate", "Learning rate", "How far each step goes."),
            FormField("train.min_learning_rate", "Falls to", "The rate at the end."),
            FormField("train.warmup_steps", "Warm-up steps", "The rate rises over so many."),
            FormField("train.weight_decay", "Weight decay", "Draws weights towards zero."),
            FormField("train.grad_clip", "Clip gradients at", "A longer one is cut to this length.", empty="never"),
            FormField("train.beta", "Beta", "How dear it is to move away."),
            FormField("train.log_probability", "Log probability", "Of an answer, over its tokens."),
        ),
    ),
    Group(
        "Measuring, and an early end",
        (
            FormField("validation", "Kept back", "Share, to measure on."),
            FormField("test", "For the report", "Share, kept till the end.", empty="0.2"),
            FormField("train.eval_every", "Measure every", "Steps."),
            FormField("train.eval_offset", "Later by", "Steps."),
            FormField("train.eval_batches", "Measured batches", "Of what is kept back, each time."),
            FormField("train.patience", "Patience", "Measurings without a better loss.", empty="no end"),
            FormField("train.min_improvement", "Better by", "Less does not count as better."),
            FormField("train.max_rise", "Fails above best by", "A loss that rises so far has diverged.", empty="never"),
        ),
    ),
    Group(
        "Samples and checkpoints",
        (
            FormField(
                "train.sample_every", "Sample every", "Steps.", of=tuple(one for one in CONFIGS if one != "classify")
            ),
            FormField("train.sample_tokens", "Tokens a sample", "Written by the model on the way."),
            FormField("train.checkpoint_every", "Save every", "Steps."),
            FormField("train.keep_checkpoints", "Keep the newest", "Those that one can scrub along afterwards."),
            FormField("train.sample_prompt", "Samples begin with", "The same each time.", of=("pretrain", "word2vec")),
            FormField("train.keep_best", "Keep the best one, too", "The one of the lowest validation loss."),
        ),
    ),
    Group(
        "Where, and when",
        (
            FormField("device", "Device", "auto: a GPU where there is one."),
            FormField("devices", "Devices", "A batch is divided among them."),
            FormField("train.shard", "Divide the network", "Among the devices; auto: if one is too small."),
            FormField(
                "train.precision",
                "Products in",
                "bfloat16 is faster on some machines.",
                of=tuple(one for one in CONFIGS if one != "word2vec"),
            ),
            FormField("priority", "Priority", "Higher ones run first."),
            FormField("seed", "Seed", "The same one gives the same numbers.", empty="by chance"),
            FormField(
                "train.compile",
                "Compile the network first",
                "Takes a minute, and makes long runs shorter.",
                of=tuple(one for one in CONFIGS if one != "dpo"),
            ),
        ),
    ),
    Group(
        "Shape, over that of the size",
        tuple(FormField(f"model.{name}", *words, empty="as it is") for name, words in SHAPE.items()),
        "own-shape",
    ),
    Group(
        "When it has ended, tell",
        (
            FormField("webhook.url", "An address", "Is sent what came of it.", empty="https://"),
            FormField(
                "webhook.secret", "Its secret", "whsec_ and base 64; signs what is sent.", variable="WEBHOOK_SECRET"
            ),
        ),
    ),
)
