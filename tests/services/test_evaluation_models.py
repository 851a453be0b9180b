"""Questions as the ids that a model reads: in the words that it was taught by."""

from __future__ import annotations

import pytest

from app.llm.config import ModelConfig
from app.llm.data.dialogues import Turn
from app.llm.data.instructions import PROMPT_STYLES, Instruction
from app.llm.model.transformer import Transformer
from app.services.chat import ChatTemplate
from app.services.evaluation_models import Writer
from app.services.evaluation_rows import JOINT, Question
from app.services.prompt_templates import TEMPLATES
from tests.fakes import CHATML, ByteTokenizer

TASK = Instruction("Double it.", "21", "")


@pytest.mark.parametrize("style", ["auto", "chat"])
@pytest.mark.parametrize("taught", TEMPLATES)
def test_a_model_taught_by_one_of_our_styles_is_asked_in_that_style(taught: str, style: str) -> None:
    """Its template knows messages alone, in which an instruction and its input were joined as in the style."""
    tokenizer = ByteTokenizer()
    writer = a_writer(ChatTemplate(TEMPLATES[taught], tokenizer, is_ours=True))
    asked = tokenizer.decode(writer.prompt_ids(a_question(), style))
    assert asked == PROMPT_STYLES[taught].answered(TASK, "")


def test_any_other_template_has_an_empty_line_between_them() -> None:
    tokenizer = ByteTokenizer()
    writer = a_writer(ChatTemplate(CHATML, tokenizer, is_ours=True))
    assert f"Double it.{JOINT}21" in tokenizer.decode(writer.prompt_ids(a_question(), "auto"))


def a_question() -> Question:
    return Question(1, (Turn("user", f"Double it.{JOINT}21", False),), TASK, True, "42")


def a_writer(template: ChatTemplate) -> Writer:
    tokenizer = ByteTokenizer()
    config = ModelConfig(vocab_size=tokenizer.vocab_size, context_length=8, emb_dim=4, n_heads=1, n_layers=1)
    return Writer("taught", Transformer(config), tokenizer, template, frozenset())
