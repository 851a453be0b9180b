"""Models as an evaluation works with them: in float32, one at a time, each with what makes prompts for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from app.errors import DataMissing, NoChatTemplate
from app.llm.data.dialogues import Turn
from app.llm.data.instructions import PROMPT_STYLES
from app.llm.engine.engine import Engine
from app.llm.model.stored import whole
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.base import Tokenizer
from app.schemas.generate import Message
from app.services import memory, model_files, runners, tokens
from app.services.chat import ChatTemplate, chat_template
from app.services.evaluation_rows import JOINT, Question
from app.services.evaluation_work import Work
from app.services.loaded_model import END_NAMES
from app.services.model_files import BUILT_IN
from app.services.prompt_templates import Chosen


@dataclass(frozen=True)
class Writer:
    """A model that writes."""

    name: str
    network: Transformer  # on the job's device
    tokenizer: Tokenizer
    template: ChatTemplate | None
    stop_ids: frozenset[int]

    def prompt_ids(self, question: Question, style: str) -> list[int]:
        """The ids of a question, up to where the answer begins.

        Args:
            style: chat, alpaca, phi3 or plain; auto: chat where the model has a template, else alpaca for a task with
                an instruction of its own, plain for a prompt.

        Raises:
            NoChatTemplate: `chat`, or a conversation, and the model has no template.
            InvalidRequest, UnknownWord: the template or the tokenizer does not take it.
        """
        if style == "chat" or (style == "auto" and (self.template is not None or question.task is None)):
            return self.chat_ids([Message(role=turn.role, content=turn.content) for turn in self._turns(question)])
        assert question.task is not None, "styles of single tasks were refused for conversations"
        if style == "auto":
            style = "alpaca" if question.is_instruction else "plain"
        if style == "plain":
            task = question.task
            text = task.instruction + (JOINT + task.input if task.input else "")
        else:
            text = PROMPT_STYLES[style].answered(question.task, "")
        return tokens.encode(self.tokenizer, text, parse_special=False, param="dataset")

    def _turns(self, question: Question) -> tuple[Turn, ...]:
        """An instruction and its input are joined as the model was taught: its template tells how."""
        task, template = question.task, self.template
        if task is None or not task.input or template is None:
            return question.turns
        joint = Chosen("chat", template.source).joint
        return (Turn("user", task.instruction + joint + task.input, False),)

    def asked_ids(self, prompt: str) -> list[int]:
        """The ids of one message, in the model's template if it has one, else as it is."""
        if self.template is not None:
            return self.chat_ids([Message(role="user", content=prompt)])
        return tokens.encode(self.tokenizer, prompt, parse_special=False, param="evaluate.judge.model")

    def chat_ids(self, messages: Sequence[Message]) -> list[int]:
        if self.template is None:
            raise NoChatTemplate(
                f"evaluate.prompt_style: {self.name} has no chat template", param="evaluate.prompt_style"
            )
        return self.template.encode(messages)


@contextmanager
def lent(work: Work, name: str) -> Iterator[Writer]:
    """A model by its name, in memory and on the job's device for as long as the caller keeps it.

    What nobody keeps any more is freed first: a caller whose name for the model before is gone has one in memory at a
    time.

    Raises:
        AppError: it is not there any more, or its tokenizer is not.
        LLMError: its files are damaged.
    """
    memory.collect()
    with work.runtime.database.read() as session:
        place = model_files.find(session, work.runtime.storage, name)
    weights = model_files.read(place, lambda _: work.check())
    with work.runtime.database.read() as session:
        tokenizer = work.runtime.tokenizers.get(session, weights.tokenizer, param="model")
    if tokenizer.vocab_size != weights.config.vocab_size:
        sizes = f"{weights.config.vocab_size} tokens, but its tokenizer {weights.tokenizer} {tokenizer.vocab_size}"
        raise DataMissing(f"model: {name} has {sizes}", param="model")
    eos_id = tokenizer.eos_id if weights.eos_id is None else weights.eos_id
    ends = {tokenizer.special_tokens.get(each) for each in END_NAMES} | {eos_id}
    template = chat_template(weights.chat_template, tokenizer, is_ours=name in BUILT_IN)
    network = whole(weights.network).to(work.device).eval()
    del weights
    stop_ids = frozenset(token_id for token_id in ends if token_id is not None)
    yield Writer(name, network, tokenizer, template, stop_ids)


def engine(work: Work, writer: Writer) -> Engine:
    """What writes with the model: in float32, whatever format serving has chosen.

    Raises:
        NotReady, LLMError: nothing here can run it.
    """
    settings = work.runtime.settings
    here = {"dtype": "float32", "device": work.device.type, "threads": settings.train_threads or settings.threads}
    return Engine(runners.make(writer.network, settings.model_copy(update=here)))
