"""Dialogues as ids, by a template, and exactly which of the ids are learnt. Free of torch.

A template may do what it likes with its turns. So where an answer begins and ends is not guessed: the turns before it
are rendered, with the words that make the model answer, and those up to it; both must be how the whole begins. An
answer's ids begin where it begins, as they do when the model writes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import InvalidRequest, UnknownWord
from app.llm.data.dialogues import Dialogue
from app.llm.data.preferred import Pair
from app.llm.data.taught import TaughtIds, TaughtPair, shortened
from app.llm.errors import BadField
from app.schemas.generate import Message
from app.services.chat import ChatTemplate


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
            return shortened(self._all(dialogue), self.most)
        except (InvalidRequest, UnknownWord) as error:
            raise BadField(dialogue.line, "", error.message.removeprefix("messages: ")) from error

    def pair(self, pair: Pair) -> TaughtPair:
        """The ids of both of a pair.

        Raises:
            BadField: as `ids`.
        """
        return TaughtPair(self.ids(pair.chosen), self.ids(pair.rejected))

    def _all(self, dialogue: Dialogue) -> TaughtIds:
        template = self.template
        turns = [Message.model_construct(role=turn.role, content=turn.content) for turn in dialogue.turns]
        hidden, specials = template.hidden(turns)
        whole = template.rendered(hidden, add_generation_prompt=False)
        ids: list[int] = []
        learnt: list[bool] = []
        at = prompt_length = 0
        for number, turn in enumerate(dialogue.turns):
            if turn.role != "assistant":
                continue
            begin = self._place(dialogue, whole, template.rendered(hidden[:number], add_generation_prompt=True))
            end = len(whole)
            if number + 1 < len(hidden):
                until = template.rendered(hidden[: number + 1], add_generation_prompt=False)
                end = self._place(dialogue, whole, until)
            before, answer = template.ids(whole[at:begin], specials), template.ids(whole[begin:end], specials)
            if not ids:
                prompt_length = len(before)
            ids += before + answer
            learnt += [not self.mask_prompt] * len(before) + self._of_answer(answer, is_learnt=turn.learnt)
            at = end
        return TaughtIds(ids, learnt, prompt_length, dialogue.line)

    def _place(self, dialogue: Dialogue, whole: str, beginning: str) -> int:
        if not whole.startswith(beginning):
            told = "the model's template writes its turns otherwise once more follow: where an answer lies is not known"
            raise BadField(dialogue.line, "", told)
        return len(beginning)

    def _of_answer(self, ids: list[int], *, is_learnt: bool) -> list[bool]:
        """Of an answer's ids, which are learnt: up to the control token that ends it, if there is one.

        What a template writes behind that (a line end, mostly) the model is never asked to write.
        """
        if not is_learnt:
            return [False] * len(ids)
        ends = [place for place, token_id in enumerate(ids) if self.template.is_control(token_id)]
        last = ends[-1] + 1 if ends else len(ids)
        return [place < last or not self.mask_prompt for place in range(len(ids))]
