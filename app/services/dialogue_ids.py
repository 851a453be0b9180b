"""Dialogues as ids, by a template, and exactly which of the ids are learnt. Free of torch.

A template may do what it likes with its turns. So where an answer begins and ends is not guessed: the turns before it
are rendered, with the words that make the model answer, and those up to it; both must be how the whole begins. An
answer's ids begin where it begins, as they do when the model writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.errors import InvalidRequest, UnknownWord
from app.llm.data.dialogues import Dialogue
from app.llm.data.preferred import Pair
from app.llm.data.taught import TaughtIds, TaughtPair, shortened
from app.llm.errors import BadField
from app.schemas.generate import Message
from app.services.chat import ChatTemplate

MOST_AT_ONCE = 16
"""Answers whose places are asked for together, at most: each time all turns are told."""


@dataclass(frozen=True)
class DialogueEncoder:
    """Makes ids of dialogues.

    `mask_prompt`: the answers alone are learnt; otherwise all but the answers that are not to be learnt. `most`: tokens
    of a dialogue that the network reads.
    """

    template: ChatTemplate
    most: int
    mask_prompt: bool = True

    def ids(self, dialogue: Dialogue) -> TaughtIds:
        """The ids of a dialogue, cut at its end.

        Raises:
            BadField: the template refuses it or writes it otherwise once more follows, the tokenizer cannot take it,
                or nothing is left to learn.
        """
        try:
            return shortened(self._begun(dialogue), self.most)
        except (InvalidRequest, UnknownWord) as error:
            raise BadField(dialogue.line, "", error.message.removeprefix("messages: ")) from error

    def pair(self, pair: Pair) -> TaughtPair:
        """The ids of both of a pair.

        Raises:
            BadField: as `ids`, or both are the same once they are cut.
        """
        both = TaughtPair(self.ids(pair.chosen), self.ids(pair.rejected))
        if both.chosen.ids == both.rejected.ids:
            told = f"both answers are the same in the {self.most:,} tokens that are read: nothing is preferred"
            raise BadField(pair.chosen.line, "", told)
        return both

    def _begun(self, dialogue: Dialogue) -> TaughtIds:
        """The ids of a dialogue, of a long one as many as are read, and some more."""
        ids: list[int] = []
        learnt: list[bool] = []
        prompt_length = 0
        for before, answer, is_learnt in self._exchanges(dialogue):
            if not ids:
                prompt_length = len(before)
            ids += before + answer
            learnt += [not self.mask_prompt] * len(before) + self._of_answer(answer, is_learnt=is_learnt)
            if len(ids) > self.most:
                break  # each part takes a rendering of all that is before it
        return TaughtIds(ids, learnt, prompt_length, dialogue.line)

    def _exchanges(self, dialogue: Dialogue) -> Iterator[tuple[list[int], list[int], bool]]:
        """The ids before each answer, its own, and whether they are to be learnt."""
        template = self.template
        turns = [Message.model_construct(role=turn.role, content=turn.content) for turn in dialogue.turns]
        hidden, specials = template.hidden(turns)
        answers = [number for number, turn in enumerate(dialogue.turns) if turn.role == "assistant"]
        at, done = 0, 0
        while done < len(answers):
            some = answers[done : done + min(done + 1, MOST_AT_ONCE)]
            parts = [part for number in some for part in ((number, True), (number + 1, False))]
            whole, lengths = template.rendered(hidden, parts, add_generation_prompt=False)
            for number, begin, end in zip(some, lengths[::2], lengths[1::2], strict=True):
                if begin is None or end is None:
                    told = "the model's template writes its turns otherwise once more follow"
                    raise BadField(dialogue.line, "", f"{told}: where an answer lies is not known")
                before, answer = template.ids(whole[at:begin], specials), template.ids(whole[begin:end], specials)
                yield before, answer, dialogue.turns[number].learnt
                at = end
            done += len(some)

    def _of_answer(self, ids: list[int], *, is_learnt: bool) -> list[bool]:
        """Of an answer's ids, which are learnt: up to the control token that ends it, if there is one.

        What a template writes behind that (a line end, mostly) the model is never asked to write.
        """
        if not is_learnt:
            return [False] * len(ids)
        ends = [place for place, token_id in enumerate(ids) if self.template.is_control(token_id)]
        last = ends[-1] + 1 if ends else len(ids)
        return [place < last or not self.mask_prompt for place in range(len(ids))]
