"""A conversation as the ids that a chat model was trained on. Knows Jinja and tokens; knows no model's weights.

Only the template makes control tokens. What users wrote stays plain text, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from jinja2 import TemplateError, TemplateSyntaxError

from app.errors import InvalidFile, InvalidRequest
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.stream import Beginnings
from app.schemas.generate import Message
from app.services import template_child, template_process, tokens
from app.services.template_child import Part

_PRIVATE_USE = (*range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE))  # characters that no standard gives a meaning


class ChatTemplate:
    """A model's Jinja template (the dialect of Hugging Face's tokenizers)."""

    def __init__(self, source: str, tokenizer: Tokenizer, *, is_ours: bool = False) -> None:
        """Read `source`.

        Args:
            is_ours: it ships with Inkling, and is rendered here; any other in a process of its own.

        Raises:
            jinja2.TemplateSyntaxError: it is no template.
        """
        _parse(source)
        self.source, self._tokenizer = source, tokenizer
        self._render = template_child.answer if is_ours else template_process.shared().answer
        self._control = frozenset(tokenizer.special_tokens.values())
        longest_first = sorted(tokenizer.special_tokens, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._beginnings = Beginnings(tokenizer.special_tokens)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation, up to where the assistant's answer begins.

        Raises:
            InvalidRequest: the template refuses these messages.
            UnknownWord: as `tokens.encode`.
        """
        hidden, specials = self.hidden(messages)
        return self.ids(self.rendered(hidden, add_generation_prompt=True)[0], specials)

    def hidden(self, messages: Sequence[Message]) -> tuple[list[dict[str, str]], dict[str, str]]:
        """The messages as a template is given them, and what stands in for which special token that users wrote.

        Raises:
            InvalidRequest: there are not enough characters to stand in.
        """
        stand_ins = self._stand_ins(messages)
        hidden = [{"role": each.role, "content": self._hide(each.content, stand_ins)} for each in messages]
        return hidden, {stand_in: special for special, stand_in in stand_ins.items()}

    def rendered(
        self, hidden: Sequence[dict[str, str]], parts: Sequence[Part] = (), *, add_generation_prompt: bool
    ) -> tuple[str, list[int | None]]:
        """What the template makes of hidden messages, and how long what it makes of parts of them is.

        Returns:
            The text, and a length for each part: None where the text does not begin with what it makes of that.

        Raises:
            InvalidRequest: it refuses them, or a part.
        """
        context = {
            "messages": list(hidden),
            "add_generation_prompt": add_generation_prompt,
            "bos_token": "",
            "eos_token": self._eos_text(),
        }
        told = self._render(self.source, context, parts)
        if "refused" in told:
            message = f"messages: the model's template refuses them: {told['refused']}"
            raise InvalidRequest(message, param="messages")
        if "failed" in told:
            raise InvalidRequest(f"messages: the model's template fails on them: {told['failed']}", param="messages")
        return told["text"], told["lengths"]

    def ids(self, rendered: str, specials: dict[str, str]) -> list[int]:
        """The ids of a rendered text, or of a part of it.

        Raises:
            UnknownWord: as `tokens.encode`.
        """
        return list(self._ids(rendered, specials))

    def is_control(self, token_id: int) -> bool:
        """Whether it is a token that the template alone makes."""
        return token_id in self._control

    def _ids(self, rendered: str, specials: dict[str, str]) -> Iterator[int]:
        """Control tokens where the template put them; between them, text, encoded as one piece each."""
        put_back = str.maketrans(specials)
        at = 0
        for match in self._special.finditer(rendered):
            yield from self._text_ids(rendered[at : match.start()].translate(put_back))
            yield self._tokenizer.special_tokens[match.group()]
            at = match.end()
        yield from self._text_ids(rendered[at:].translate(put_back))

    def _text_ids(self, text: str) -> list[int]:
        return tokens.encode(self._tokenizer, text, parse_special=False, param="messages") if text else []

    def _stand_ins(self, messages: Sequence[Message]) -> dict[str, str]:
        """For each special token that users wrote, and each beginning of one that ends what they wrote (the next words
        may go on with it), a character that neither they nor the template use."""
        written = {special for each in messages for special in self._special.findall(each.content)}
        written |= {beginning for each in messages if (beginning := self._begun(each.content)[1])}
        used = set(self.source).union(*(each.content for each in messages)) if written else set()
        unused = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
        stand_ins = dict(zip(sorted(written), unused, strict=False))
        if len(stand_ins) < len(written):
            raise InvalidRequest("messages: they use up all private characters of Unicode", param="messages")
        return stand_ins

    def _hide(self, content: str, stand_ins: dict[str, str]) -> str:
        if not stand_ins:
            return content
        before, begun, after = self._begun(content)
        return self._special.sub(lambda match: stand_ins[match.group()], before) + stand_ins.get(begun, "") + after

    def _begun(self, content: str) -> tuple[str, str, str]:
        """What was written in three: up to where a special token begins that is not whole, its beginning, and blanks,
        which a template may take away."""
        bare = content.rstrip()
        last = max((match.end() for match in self._special.finditer(bare)), default=0)
        end = len(bare) - self._beginnings.at_end(bare[last:])
        return content[:end], bare[end:], content[len(bare) :]

    def _eos_text(self) -> str:
        eos_id = self._tokenizer.eos_id
        return "" if eos_id is None else self._tokenizer.token_bytes(eos_id).decode(errors="replace")


def _parse(source: str) -> None:
    """See that it is a template, and no more: to compile it is to compute what is constant in it."""
    try:
        template_child.environment().parse(source)
    except ValueError as error:  # of int(), which refuses thousands of digits
        raise TemplateSyntaxError("a number has too many digits", 1) from error


def chat_template(source: str | None, tokenizer: Tokenizer, *, is_ours: bool) -> ChatTemplate | None:
    """The template of a model that has one.

    Raises:
        jinja2.TemplateSyntaxError: it is none.
    """
    return ChatTemplate(source, tokenizer, is_ours=is_ours) if source else None


def check_template(source: str, tokenizer: Tokenizer) -> None:
    """See that `source` is a template, and one that is soon compiled.

    Raises:
        InvalidFile: it is none.
    """
    try:
        ChatTemplate(source, tokenizer)
    except (TemplateError, RecursionError) as error:
        raise InvalidFile(f"chat_template: it is no template: {error}", param="chat_template") from error
    told = template_process.shared().answer(source, None)
    if "text" not in told:
        why = told.get("refused") or told["failed"]
        raise InvalidFile(f"chat_template: it cannot be compiled: {why}", param="chat_template")
