"""Hugging Face's files of a byte-level BPE tokenizer: `tokenizer.json`, or `vocab.json` with `merges.txt`.

What such a file asks for and ours cannot do is refused by the name of its key. Knows parsed JSON, not the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.llm.errors import BadVocabulary
from app.llm.tokenizer.byte_alphabet import BYTE_OF
from app.llm.tokenizer.vocabulary import CONTROL, NORMAL, Vocabulary

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}
_RULES: dict[str, dict[str, Any]] = {
    "gpt-2": _BYTE_LEVEL,
    "smollm": {"type": "Sequence", "pretokenizers": [_DIGITS, _BYTE_LEVEL]},
}
MAX_TOKENS = 1 << 20


def read_tokenizer(values: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a parsed `tokenizer.json`.

    Raises:
        BadVocabulary: which names the key that is not read.
    """
    model = _object(values, "model")
    if model.get("type", "BPE") != "BPE":
        raise BadVocabulary(f"model.type: {_short(model.get('type'))} is not read, only byte-level BPE is")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(key):
            raise BadVocabulary(f"model.{key}: {_short(model[key])} is not read")
    if values.get("normalizer") is not None:
        raise BadVocabulary("normalizer: texts that are changed before they are split are not read")
    _check_post_processor(values.get("post_processor"))
    specials: dict[str, int] = {}
    for added in _list(values.get("added_tokens") or [], "added_tokens"):
        if not isinstance(added, dict) or type(added.get("id")) is not int or not isinstance(added.get("content"), str):
            raise BadVocabulary("added_tokens: id and content are expected")
        if not added.get("special"):
            told = "is cut out of any text before it is split, which is not read"
            raise BadVocabulary(f"added_tokens: {_short(added['content'])} {told}")
        specials[added["content"]] = added["id"]
    return _vocabulary(_object(model, "vocab"), model.get("merges"), _rule(values.get("pre_tokenizer")), specials)


def read_vocab_and_merges(vocab: Mapping[str, Any], merges: str) -> Vocabulary:
    """The vocabulary of GPT-2's two files; what no merge makes is a special token."""
    lines = [line for line in merges.splitlines() if line and not line.startswith("#version")]
    made = {line.replace(" ", "", 1) for line in lines}
    specials = {text: number for text, number in vocab.items() if text not in made and text not in BYTE_OF}
    return _vocabulary(vocab, lines, "gpt-2", specials)


def write_tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of a `tokenizer.json` with this vocabulary."""
    specials = [i for i, kind in enumerate(vocabulary.token_types) if kind != NORMAL]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": vocabulary.tokens[i], "special": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            for i in specials
        ],
        "normalizer": None,
        "pre_tokenizer": _RULES[vocabulary.pre],
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(vocabulary.tokens)},
            "merges": [merge.split(" ") for merge in vocabulary.merges],
        },
    }


def _vocabulary(vocab: Mapping[str, Any], merges: object, pre: str, specials: Mapping[str, int]) -> Vocabulary:
    ids = {**vocab, **specials}
    if any(vocab.get(text, token_id) != token_id for text, token_id in specials.items()):
        raise BadVocabulary("added_tokens: one has another id than in model.vocab")
    if len(ids) > MAX_TOKENS:
        raise BadVocabulary(f"model.vocab: {len(ids)} tokens are more than is read")
    if not all(type(token_id) is int for token_id in ids.values()) or set(ids.values()) != set(range(len(ids))):
        raise BadVocabulary(f"model.vocab: the ids of {len(ids)} tokens are not 0 to {len(ids) - 1}, each once")
    tokens = sorted(ids, key=ids.__getitem__)
    types = [CONTROL if token in specials else NORMAL for token in tokens]
    return Vocabulary(tokens, types, [_merge(one) for one in _list(merges, "model.merges")], pre)


def _merge(merge: object) -> str:
    pair = merge.split(" ") if isinstance(merge, str) else merge
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) and part for part in pair):
        raise BadVocabulary(f"model.merges: {_short(merge)} is no pair")
    return " ".join(pair)


def _rule(written: object) -> str:
    """Our name of a rule of splitting."""
    for name, known in _RULES.items():
        if _essence(written) == _essence(known):
            return name
    raise BadVocabulary(f"pre_tokenizer: {_short(written)} is not read, only GPT-2's and SmolLM2's rules are")


def _check_post_processor(written: object) -> None:
    """See that nothing is put around a text: the parts that only move offsets change no id.

    Raises:
        BadVocabulary: special tokens are, or what is done is not known.
    """
    if written is None:
        return
    if not isinstance(written, dict):
        raise BadVocabulary("post_processor: an object is expected")
    is_list = written.get("type") == "Sequence"
    for part in _list(written.get("processors"), "post_processor.processors") if is_list else [written]:
        if not isinstance(part, dict) or part.get("type") not in ("ByteLevel", "TemplateProcessing"):
            told = _short(part.get("type") if isinstance(part, dict) else part)
            raise BadVocabulary(f"post_processor: {told} is not read, as it may put tokens around every text")
        if part["type"] == "TemplateProcessing" and _has_specials(part):
            raise BadVocabulary("post_processor: special tokens that are put around every text are not read")


def _has_specials(template: Mapping[str, Any]) -> bool:
    pieces = template.get("single")
    named = isinstance(pieces, list) and any(isinstance(one, dict) and "SpecialToken" in one for one in pieces)
    return named or bool(template.get("special_tokens"))


def _essence(rule: object) -> object:
    """A rule without what changes nothing."""
    if not isinstance(rule, dict):
        return rule
    kept = {key: value for key, value in rule.items() if key not in ("trim_offsets", "pretokenizers")}
    if rule.get("type") == "ByteLevel":
        kept.setdefault("use_regex", True)
    if isinstance(inner := rule.get("pretokenizers"), list):
        kept["pretokenizers"] = [_essence(one) for one in inner]
    return kept


def _object(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    if not isinstance(found := values.get(key), dict):
        raise BadVocabulary(f"{key}: an object is expected")
    return found


def _list(values: object, key: str) -> Sequence[Any]:
    if not isinstance(values, list):
        raise BadVocabulary(f"{key}: a list is expected")
    return values


def _short(value: object) -> str:
    return repr(value)[:120]
