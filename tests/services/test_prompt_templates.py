"""The book's prompt styles as chat templates: the same text, to the last character, and turns beyond the first."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest
from app.llm.data.instructions import PROMPT_STYLES, Instruction
from app.services.prompt_templates import JOINTS, TEMPLATES, chosen
from app.services.template_child import answer
from tests.fakes import CHATML, ByteTokenizer

ENTRIES = [
    Instruction("Name a fish.", "", "A cod."),
    Instruction("Double it.", "21", "42"),
    Instruction(" {{ 7 * 7 }}\n", "<|endoftext|>\n\n", "'\\n'\n"),
]


def rendered(name: str, *messages: tuple[str, str], prompt: bool = False) -> str:
    turns = [{"role": role, "content": content} for role, content in messages]
    context = {"messages": turns, "add_generation_prompt": prompt, "eos_token": "<end>", "bos_token": ""}
    return answer(TEMPLATES[name], context)["text"]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("entry", ENTRIES, ids=["without input", "with input", "with odd characters"])
def test_one_instruction_is_the_books_text(name, entry):
    style, asked = PROMPT_STYLES[name], entry.instruction + (JOINTS[name] + entry.input if entry.input else "")
    assert rendered(name, ("user", asked), prompt=True) == style.answered(entry, "")
    whole = rendered(name, ("user", asked), ("assistant", entry.output))
    assert whole == style.answered(entry, entry.output) + "<end>"


def test_more_turns_and_a_system():
    talk = [("system", "Be brief."), ("user", "A?"), ("assistant", "a"), ("user", "B?")]
    assert rendered("alpaca", *talk, prompt=True) == (
        "Be brief.\n\n### Instruction:\nA?\n\n### Response:\na<end>\n\n### Instruction:\nB?\n\n### Response:\n"
    )
    assert rendered("phi3", *talk, prompt=True) == (
        "<|system|>\nBe brief.\n<|user|>\nA?\n<|assistant|>:\na<end>\n<|user|>\nB?\n<|assistant|>:\n"
    )


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_system_that_speaks_late_is_refused(name):
    turns = [{"role": "user", "content": "A"}, {"role": "system", "content": "B"}]
    told = answer(TEMPLATES[name], {"messages": turns, "add_generation_prompt": False, "eos_token": ""})
    assert "speaks first" in told["refused"]


def test_where_none_is_asked_for_it_is_the_models_own():
    tokenizer = ByteTokenizer()
    assert chosen(None, CHATML, tokenizer).source == CHATML
    assert chosen(None, None, tokenizer).name == "alpaca"
    assert chosen("phi3", CHATML, tokenizer).source == TEMPLATES["phi3"]
    taught = chosen(None, TEMPLATES["alpaca"], tokenizer)
    assert (taught.name, taught.joint) == ("chat", JOINTS["alpaca"])


def test_what_cannot_be_is_refused():
    with pytest.raises(InvalidRequest, match="no chat template of its own; there are alpaca, phi3") as refusal:
        chosen("chat", None, ByteTokenizer())
    assert refusal.value.param == "train.template"
    endless = ByteTokenizer()
    endless.eos_id = None  # type: ignore[assignment]
    with pytest.raises(InvalidRequest, match="no token") as refusal:
        chosen(None, None, endless)
    assert refusal.value.param == "train.template"
