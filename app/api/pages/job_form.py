"""What the form that starts a job asks for, in words. What it folds away stands in `job_form_more`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.api.pages.job_fields import CONFIGS, KINDS, Choice, FormField
from app.api.pages.job_form_more import MORE, Group
from app.llm.config import LINEAR_LAYERS
from app.schemas.evaluation import MAX_AGAINST
from app.services.train_presets import TRAIN_PRESETS

RECIPES = (
    Choice("pretrain", "Learn to continue text (pretrain)"),
    Choice("classify", "Learn to tell classes (classify)"),
    Choice("instruct", "Learn to answer (instruct)"),
    Choice("dpo", "Learn better from worse (dpo)"),
    Choice("word2vec", "Learn vectors of words (word2vec)"),
    Choice("evaluate", "Measure models (evaluate)"),
)
ABOUT = {
    "pretrain": "A network learns to foretell each next token of a text, be it a new one or one that goes on learning.",
    "classify": "A network learns to tell which of some classes a text is of, from rows with a label.",
    "instruct": "A model that writes learns to answer, from rows with a task and its answer.",
    "dpo": "A model that answers learns which of two answers is the better one, from rows with both.",
    "word2vec": "Each word of a text gets a vector that lies near those of words used alike.",
    "evaluate": "Nothing is learnt: models are measured side by side on a text or on rows.",
}
"""What each recipe does, in a sentence."""
KIND_WORDS = {
    "perplexity": "Foretelling a text",
    "accuracy": "Telling classes",
    "answers": "Answers, by references",
    "judge": "Answers, by a judge",
    "choices": "Choosing among answers",
}


def _preset(name: str) -> Choice:
    preset = TRAIN_PRESETS[name]
    says = {f"train.{setting}": value for setting, value in preset.train.items()}
    says |= {"validation": preset.validation, "test": preset.test, "seed": preset.seed}
    return Choice(name, name, (preset.recipe,), says)


PRESET = FormField(
    "train.preset",
    "Settings of the book",
    "All settings of one of the book's runs; what you set below overrides them.",
    of_choices=(Choice("", "none"), *map(_preset, TRAIN_PRESETS)),
)
TRAINABLE = FormField(
    "train.trainable",
    "What learns",
    "The fewer weights learn, the quicker a step, and the less it forgets.",
    of_choices=(
        Choice("all", "All weights"),
        Choice("last_block", "The last block alone (quicker)"),
        Choice("head", "The head of classes alone", ("classify",)),
        Choice("lora", "An adapter beside its layers (LoRA)"),
    ),
)
LORA = (
    FormField("train.lora.rank", "Rank", "Numbers between its two matrices."),
    FormField("train.lora.alpha", "Alpha", "It counts alpha / rank times."),
    FormField("train.lora.dropout", "Dropout", "Share left out while it learns."),
    FormField(
        "train.lora.targets",
        "Layers",
        "None ticked: all that are linear.",
        of_choices=tuple(Choice(name, name, () if name != "head" else ("classify",)) for name in LINEAR_LAYERS),
    ),
)
LENGTH = (
    FormField("train.max_steps", "Steps", "Each learns from one batch.", empty="by epochs"),
    FormField("train.epochs", "or epochs", "Times through it all.", empty="by steps"),
)
MEASURED = (
    FormField("evaluate.max_rows", "Rows", "Drawn by the seed; of a text, its first windows.", empty="all"),
    FormField("evaluate.window", "Tokens a window", "Read at once.", empty="at most 512"),
    FormField("evaluate.stride", "Window to window", "Below a window's length they overlap.", empty="a window's"),
    FormField("evaluate.prompt_style", "Prompt template", "What is put around each task."),
    FormField("evaluate.max_new_tokens", "Tokens an answer", "At most."),
    FormField(
        "evaluate.form",
        "How a question is put",
        "Around its own words.",
        of_choices=(
            Choice("plain", "As it is"),
            Choice("question", "Question: … Answer:"),
            Choice("letters", "With the choices by letter"),
        ),
    ),
    FormField("evaluate.num_fewshot", "Examples before it", "Other rows, with their answers."),
    FormField(
        "evaluate.pairwise", "Compare the two, each pair in both orders", "So that the place of an answer cannot win."
    ),
)
JUDGE_SERVER = (
    FormField("evaluate.judge.url", "Its address", "Of an OpenAI-compatible server, up to /v1.", empty="https://…/v1"),
    FormField("evaluate.judge.api_key", "Its key", "Kept with the job, never shown.", variable="JUDGE_API_KEY"),
    FormField("evaluate.judge.timeout_s", "Seconds it may take", "For one reply."),
)
JUDGE_TOKENS = FormField("evaluate.judge.max_new_tokens", "Tokens of a judge's reply", "At most.")


FIRST_COLUMNS = (
    FormField("columns.text", "Column of its rows", "What is read."),
    FormField("columns.label", "Column of classes", "What is to be told."),
)
"""Those that stand beside the dataset."""
NAME = FormField("name", "Name of the model", "By which it is asked for later.", empty="given by the server")


@dataclass(frozen=True)
class JobForm:
    """All of it, as the template takes it."""

    recipes: tuple[Choice, ...] = RECIPES
    about: Mapping[str, str] = field(default_factory=lambda: ABOUT)
    kinds: tuple[Choice, ...] = tuple(Choice(kind, f"{KIND_WORDS.get(kind, kind)} ({kind})") for kind in KINDS)
    trained: tuple[str, ...] = tuple(CONFIGS)
    first_columns: tuple[FormField, ...] = FIRST_COLUMNS
    preset: FormField = PRESET
    trainable: FormField = TRAINABLE
    lora: tuple[FormField, ...] = LORA
    length: tuple[FormField, ...] = LENGTH
    measured: tuple[FormField, ...] = MEASURED
    judge_server: tuple[FormField, ...] = JUDGE_SERVER
    judge_tokens: FormField = JUDGE_TOKENS
    against: range = range(MAX_AGAINST)
    name: FormField = NAME
    more: tuple[Group, ...] = MORE
