"""The prompt styles of chapter 7 as chat templates, and which template a job on dialogues goes by. Free of torch.

What a model was taught with goes with it as its chat template: it answers `messages` in the same words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from app.errors import InvalidRequest
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.config import Template
from app.services.chat import ChatTemplate

_ROLES = (
    "{%- if messages[0]['role'] == 'system' -%}{{ SYSTEM }}{%- set turns = messages[1:] -%}"
    "{%- else -%}{{ 'START' }}{%- set turns = messages -%}{%- endif -%}"
    "{%- for turn in turns -%}"
    "{%- if turn['role'] == 'user' -%}{{ USER + turn['content'] }}"
    "{%- elif turn['role'] == 'assistant' -%}{{ 'ANSWER' + turn['content'] + eos_token }}"
    "{%- else -%}{{ raise_exception('the system speaks first, and once') }}{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'ANSWER' }}{%- endif -%}"
)


def _template(system: str, start: str, user: str, answer: str) -> str:
    """Jinja out of what stands around what is said, as Jinja's own literals have it."""
    filled = _ROLES.replace("SYSTEM", system).replace("START", start)
    return filled.replace("USER", user).replace("ANSWER", answer)


TEMPLATES: dict[Template, str] = {
    "alpaca": _template(
        "messages[0]['content']",
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.",
        r"'\n\n### Instruction:\n'",
        r"\n\n### Response:\n",
    ),
    "phi3": _template(
        r"'<|system|>\n' + messages[0]['content'] + '\n'",
        "",
        r"('<|user|>\n' if loop.first else '\n<|user|>\n')",
        r"\n<|assistant|>:\n",
    ),
}
"""For one instruction the very text of `llm/data/instructions.PROMPT_STYLES`; a system's words take the place of
Alpaca's first sentence, or stand before Phi-3's first turn. An answer ends with the tokenizer's end of text."""

JOINTS: dict[Template, str] = {"alpaca": "\n\n### Input:\n", "phi3": "\n", "chat": "\n\n"}
"""What stands between an instruction and its input."""


@dataclass(frozen=True)
class Chosen:
    """A template, and what it is called."""

    name: Template
    source: str

    @property
    def joint(self) -> str:
        """What stands between an instruction and its input: also of a model that was taught by one of ours."""
        name = next((known for known, source in TEMPLATES.items() if source == self.source), self.name)
        return JOINTS[name]

    def template(self, tokenizer: Tokenizer) -> ChatTemplate:
        """Ready to render: a model's own in a process of its own."""
        return ChatTemplate(self.source, tokenizer, is_ours=self.name in TEMPLATES)


def chosen(wanted: Template | None, own: str | None, tokenizer: Tokenizer) -> Chosen:
    """The template that was asked for; where none was, the model's own if it has one, else Alpaca's.

    Args:
        own: the model's.

    Raises:
        InvalidRequest: the model has none, or its tokenizer has no token that would end an answer.
    """
    name = wanted or ("alpaca" if own is None else "chat")
    if name == "chat":
        if own is None:
            others = ", ".join(each for each in get_args(Template) if each != "chat")
            told = f"the model has no chat template of its own; there are {others}"
            raise InvalidRequest(f"train.template: {told}", param="train.template")
        return Chosen(name, own)
    if tokenizer.eos_id is None:
        told = f"with {name} an answer ends with the end of text, for which the model's tokenizer has no token"
        raise InvalidRequest(f"train.template: {told}", param="train.template")
    return Chosen(name, TEMPLATES[name])
