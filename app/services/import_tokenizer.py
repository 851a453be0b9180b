"""The tokenizer of a model that is being imported: one that is named, or the one that its files carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from app.llm.errors import BadConfig, BadVocabulary
from app.llm.tokenizer import hf_bpe
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.weights import hf_config
from app.services import imported_tokenizers
from app.services.import_files import MERGES, VOCABS, ModelFiles
from app.services.runtime import Runtime

if TYPE_CHECKING:
    from app.services.import_checks import Wanted

MAX_JSON_BYTES = 64 * 1024 * 1024  # some three times the longest tokenizer.json in use
MAX_TEMPLATE_CHARACTERS = 256 * 1024


@dataclass(frozen=True)
class ImportedTokenizer:
    """A tokenizer with the name it has or will have; `vocabulary` is to be kept where it is new."""

    name: str
    tokenizer: Tokenizer
    vocabulary: Vocabulary | None
    eos_id: int | None
    chat_template: str | None

    @property
    def is_registered(self) -> bool:
        return self.vocabulary is None


def read_tokenizer(session: Session, runtime: Runtime, wanted: Wanted, found: ModelFiles) -> ImportedTokenizer:
    """The tokenizer that `wanted` names, or else the one of the files; with end of text and chat template.

    Raises:
        TokenizerNotFound, DataMissing: the one that is named is not there.
        BadConfig, BadVocabulary, BadWeights: the files carry none that can be read; the message says what to do.
    """
    if found.gguf is not None:
        vocabulary, eos_id, template = _of_gguf(found, wanted.tokenizer is None)
    else:
        about = read_json(found, "tokenizer_config.json") or {}
        template = _template(found, about)
        vocabulary = _of_folder(found, about) if wanted.tokenizer is None else None
        eos_id = None
    if wanted.tokenizer is not None:
        tokenizer = runtime.tokenizers.get(session, wanted.tokenizer)
        name = wanted.tokenizer
    else:
        assert vocabulary is not None, "the files carry one, or were refused"
        tokenizer = vocabulary.tokenizer()
        twin = imported_tokenizers.twin(runtime.tokenizers, session, tokenizer)
        name = twin or wanted.name
    if found.gguf is None:
        eos_id = _eos_id(found, tokenizer, about)
    if vocabulary is not None:
        vocabulary = replace(vocabulary, eos_id=eos_id)
    if wanted.tokenizer is not None or name != wanted.name:
        vocabulary = None
    return ImportedTokenizer(name, tokenizer, vocabulary, eos_id, template)


def read_json(found: ModelFiles, *names: str) -> dict[str, Any] | None:
    """The content of the first of these files that is there.

    Raises:
        BadConfig: it is no JSON object, or too long.
    """
    path = found.first(*names)
    if path is None:
        return None
    limit = hf_config.MAX_BYTES if path.name in ("config.json", "hparams.json") else MAX_JSON_BYTES
    if path.stat().st_size > limit:
        raise BadConfig(path.name, f"more than {limit:,} bytes")
    return hf_config.parse(path.read_bytes(), path.name)


def _of_gguf(found: ModelFiles, needs_tokens: bool) -> tuple[Vocabulary | None, int | None, str | None]:
    from app.llm.weights.gguf import metadata_of
    from app.llm.weights.gguf_file import open_gguf

    assert found.gguf is not None
    file = open_gguf(found.gguf)
    if not needs_tokens:
        template = file.values.get("tokenizer.chat_template")
        return None, None, template if isinstance(template, str) else None
    told = metadata_of(file)
    vocabulary = Vocabulary(told.tokens, told.token_types, told.merges, told.pre, told.eos_id)
    return vocabulary, told.eos_id, told.chat_template


def _of_folder(found: ModelFiles, about: Mapping[str, Any]) -> Vocabulary:
    for key in ("add_bos_token", "add_eos_token"):
        if about.get(key):
            told = "special tokens that are put around every text are not read; name a tokenizer that fits"
            raise BadConfig(f"tokenizer_config.json: {key}", told)
    values = read_json(found, "tokenizer.json")
    if values is not None:
        return hf_bpe.read_tokenizer(values)
    vocab, merges = read_json(found, *VOCABS), found.first(*MERGES)
    if vocab is None or merges is None:
        told = "there is no tokenizer.json, and no vocab.json with merges.txt; name a tokenizer that fits"
        raise BadConfig("tokenizer", told)
    if merges.stat().st_size > MAX_JSON_BYTES:
        raise BadVocabulary(f"{merges.name} has more than {MAX_JSON_BYTES:,} bytes")
    try:
        return hf_bpe.read_vocab_and_merges(vocab, merges.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise BadVocabulary(f"{merges.name} is no UTF-8") from error


def _template(found: ModelFiles, about: Mapping[str, Any]) -> str | None:
    """The chat template of a file of its own, else the one in tokenizer_config.json."""
    path = found.first("chat_template.jinja")
    alone = read_json(found, "chat_template.json") or {}
    template: object = alone.get("chat_template", about.get("chat_template"))
    if path is not None:
        if path.stat().st_size > MAX_TEMPLATE_CHARACTERS:
            raise BadConfig("chat_template", f"more than {MAX_TEMPLATE_CHARACTERS:,} bytes")
        template = path.read_bytes().decode("utf-8", errors="replace")
    if isinstance(template, list):  # several, each with a name
        defaults = [one for one in template if isinstance(one, dict) and one.get("name") == "default"]
        template = defaults[0].get("template") if defaults else None
    if template is not None and not isinstance(template, str):
        raise BadConfig("chat_template", "a text is expected")
    if template is not None and len(template) > MAX_TEMPLATE_CHARACTERS:
        raise BadConfig("chat_template", f"more than {MAX_TEMPLATE_CHARACTERS:,} characters")
    return template


def _eos_id(found: ModelFiles, tokenizer: Tokenizer, about: Mapping[str, Any]) -> int | None:
    """The id that ends a text: the tokenizer's word for it, else the configuration's number."""
    text = about.get("eos_token")
    if isinstance(text, dict):
        text = text.get("content")
    if isinstance(text, str) and text in tokenizer.special_tokens:
        return tokenizer.special_tokens[text]
    for name in ("generation_config.json", "config.json"):
        number = (read_json(found, name) or {}).get("eos_token_id")
        number = number[0] if isinstance(number, list) and number else number
        if type(number) is int and 0 <= number < tokenizer.vocab_size:
            return number
    return tokenizer.eos_id
