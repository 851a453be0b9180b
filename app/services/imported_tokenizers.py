"""Tokenizers that came with an imported model: kept beside those made here, under the model's name.

Knows rows and files; what is read from a model's files is `import_tokenizer`'s business.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.db.tables import tokenizer as rows
from app.db.tables.tokenizer import TokenizerRow
from app.errors import DataMissing
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.vocabulary import Vocabulary
from app.services.storage import Storage
from app.services.tokenizer_making import Made, check_free, keep, needed_by
from app.services.tokenizers import IMPORTED, Tokenizers

THAT_SHIP = ("gpt2", "smollm2")


def twin(tokenizers: Tokenizers, session: Session, tokenizer: Tokenizer) -> str | None:
    """The name of a tokenizer that ships and is the same as this one, if there is such."""
    for name in THAT_SHIP:
        try:
            known = tokenizers.get(session, name)
        except DataMissing:
            continue
        if known.vocab_size == tokenizer.vocab_size and _entries(known) == _entries(tokenizer):
            return name
    return None


def register(session: Session, storage: Storage, name: str, vocabulary: Vocabulary) -> TokenizerRow:
    """Keep a vocabulary under `name`: its row in the caller's transaction, its file complete or absent.

    Raises:
        NameTaken: a tokenizer has it.
        BadVocabulary: its lists contradict each other.
    """
    check_free(session, name)
    specials = vocabulary.tokenizer().special_tokens
    made = Made(
        kind=IMPORTED,
        version=None,
        vocab_size=len(vocabulary.tokens),
        special_tokens=sorted(specials, key=lambda text: specials[text]),
        trained_bytes=None,
        content=vocabulary.to_json().encode(),
    )
    return keep(session, storage, name, made, dataset_id=None)


def remove(session: Session, storage: Storage, name: str) -> None:
    """Delete the tokenizer `name` if it came with a model and nothing needs it any more."""
    row = rows.lock(session, name)
    if row is not None and row.kind == IMPORTED and needed_by(session, name) is None:
        session.delete(row)
        session.flush()
        # Before the commit, while the row is held: afterwards the name may be another's already, and the file too.
        storage.tokenizer(name).unlink(missing_ok=True)


def _entries(tokenizer: Tokenizer) -> tuple[object, ...]:
    """What two byte-pair tokenizers have in common if they are one."""
    pieces = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
    return getattr(tokenizer, "pattern", None), dict(tokenizer.special_tokens), pieces
