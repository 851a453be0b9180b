"""Text to ids and back, within the limits of one call; refusals of the library told as the service tells them."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import InvalidRequest, TokenOutOfRange, TooLarge, UnknownWord
from app.llm.errors import TokenIdOutOfRange, UnknownToken, UntokenizableText
from app.llm.tokenizer.base import Tokenizer


def check_size(texts: Sequence[str], max_bytes: int, param: str = "text") -> None:
    """Pass texts of at most `max_bytes` of UTF-8 in all; `param` is where they stand in the request.

    Raises:
        TooLarge: they are longer.
    """
    size_bytes = sum(len(text.encode()) for text in texts)
    if size_bytes > max_bytes:
        raise TooLarge(f"{param}: {size_bytes:,} bytes are more than the {max_bytes:,} of one call", param=param)


def encode(tokenizer: Tokenizer, text: str, *, parse_special: bool, param: str = "text") -> list[int]:
    """The ids of `text`; `param` is where it stands in the request.

    Raises:
        UnknownWord: a word tokenizer of version 1 met a word that it was not built with.
        InvalidRequest: the tokenizer cannot split this text.
    """
    try:
        return tokenizer.encode(text, parse_special=parse_special)
    except UnknownToken as error:
        raise UnknownWord(
            f"{param}: {error}; version 2 of the word tokenizer has <|unk|> for it", param=param
        ) from error
    except UntokenizableText as error:
        raise InvalidRequest(f"{param}: {error}", param=param) from error


def encode_some(tokenizer: Tokenizer, text: str, param: str) -> list[int]:
    """As `encode`, with special tokens as plain text, of a text in which there is something.

    Raises:
        InvalidRequest: there is no token in it.
    """
    ids = encode(tokenizer, text, parse_special=False, param=param)
    if not ids:
        raise InvalidRequest(f"{param}: there is no token in it", param=param)
    return ids


def decode(tokenizer: Tokenizer, lists: Sequence[Sequence[int]], max_bytes: int, *, is_batch: bool) -> list[str]:
    """The text of each list of ids, if they are at most `max_bytes` long in all.

    Raises:
        TokenOutOfRange: an id is not in the vocabulary; its place is told as `ids.<place>`, or with `is_batch`
            as `ids.<list>.<place>`.
        TooLarge: the texts would be longer.
    """
    size_bytes = 0
    for index, ids in enumerate(lists):
        try:
            size_bytes += sum(len(tokenizer.token_bytes(token_id)) for token_id in ids)
        except TokenIdOutOfRange as error:
            place = ids.index(error.token_id)
            param = f"ids.{index}.{place}" if is_batch else f"ids.{place}"
            raise TokenOutOfRange(f"{param}: {_shortened(error)}", param=param) from error
        if size_bytes > max_bytes:
            raise TooLarge(f"ids: they make more than the {max_bytes:,} bytes of text of one call", param="ids")
    return [tokenizer.decode(ids) for ids in lists]


def text_of(tokenizer: Tokenizer, token_id: int) -> str:
    """A token's own text, U+FFFD where its bytes are no UTF-8.

    Raises:
        TokenIdOutOfRange: the id is outside the vocabulary.
    """
    return tokenizer.token_bytes(token_id).decode("utf-8", errors="replace")


def check_ids(ids: Sequence[int], vocab_size: int, param: str = "ids") -> None:
    """Pass ids that are in a vocabulary.

    Raises:
        TokenOutOfRange: one is not; its place is told as `ids.<place>`.
    """
    for place, token_id in enumerate(ids):
        if not 0 <= token_id < vocab_size:
            told = f"{param}.{place}: {_shortened(TokenIdOutOfRange(token_id, vocab_size))}"
            raise TokenOutOfRange(told, param=f"{param}.{place}")


def _shortened(error: TokenIdOutOfRange) -> str:
    """The refusal, without the thousands of digits that a number in a request may have."""
    message = str(error)
    return message if len(message) <= 200 else "a number of so many digits is no token id"
