"""A job's rows as what `instruct` and `dpo` learn from: read by the columns that are named, and made ids. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from app.llm.config import ModelConfig
from app.llm.data.dialogues import Dialogue, dialogue_of
from app.llm.data.preferred import Pair, pair_of
from app.llm.data.taught import TaughtIds, TaughtPair
from app.llm.errors import BadField
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.config import AnswerConfig, InstructConfig
from app.services.dialogue_ids import DialogueEncoder
from app.services.job_rows import Line
from app.services.prompt_templates import Chosen, chosen

T = TypeVar("T")


@dataclass(frozen=True)
class AnswerRows:
    """Makes examples of lines, or refuses them with their numbers (InvalidRequest)."""

    encoder: DialogueEncoder
    joint: str
    columns: Mapping[str, str]  # by role; none: a row's fields are called what they are

    @classmethod
    def of(
        cls,
        config: AnswerConfig,
        network: ModelConfig,
        tokenizer: Tokenizer,
        own: str | None,
        columns: Mapping[str, str],
    ) -> AnswerRows:
        """`own`: the model's template."""
        picked = chosen(config.template, own, tokenizer)
        mask_prompt = config.mask_prompt if isinstance(config, InstructConfig) else True
        most = tokens_read(config, network)
        return cls(DialogueEncoder(picked.template(tokenizer), most, mask_prompt), picked.joint, columns)

    def dialogue(self, line: Line) -> Dialogue:
        return self._told(line, lambda: dialogue_of(self._values(line), line.number, self.joint))

    def pair(self, line: Line) -> Pair:
        return self._told(line, lambda: pair_of(self._values(line), line.number, self.joint))

    def taught(self, line: Line) -> TaughtIds:
        """The dialogue of a line as ids."""
        dialogue = self.dialogue(line)
        return self._told(line, lambda: self.encoder.ids(dialogue))

    def taught_pair(self, line: Line) -> TaughtPair:
        """Both answers of a line as ids."""
        pair = self.pair(line)
        return self._told(line, lambda: self.encoder.pair(pair))

    def _values(self, line: Line) -> Mapping[str, Any]:
        if not self.columns:
            return line.values
        return {role: line.values.get(column) for role, column in self.columns.items()}

    def _told(self, line: Line, read: Callable[[], T]) -> T:
        try:
            return read()
        except BadField as error:
            raise line.refused(error.reason) from error


def tokens_read(config: AnswerConfig, network: ModelConfig) -> int:
    """Of a dialogue, at most."""
    return min(config.max_tokens or network.context_length, network.context_length)


def template_of(config: AnswerConfig, own: str | None, tokenizer: Tokenizer) -> Chosen:
    """The template that a run goes by.

    Raises:
        InvalidRequest: as `prompt_templates.chosen`.
    """
    return chosen(config.template, own, tokenizer)
