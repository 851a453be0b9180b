"""Whether a word2vec job can be done, asked before it is queued. Free of torch; `services/word2vec` does the work."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.db.tables import tokenizer as tokenizer_table
from app.errors import InvalidRequest
from app.llm.config import Word2VecConfig
from app.llm.errors import BadConfig
from app.llm.train.config import SkipGramConfig
from app.schemas.job import JobCreate
from app.services import datasets
from app.services.recipe import MAX_BATCH_TOKENS, Asked, refuse_others, train_config
from app.services.runtime import Runtime


def check(session: Session, runtime: Runtime, body: JobCreate) -> Asked:
    """The request as word2vec understands it.

    Raises:
        AppError: its numbers do not fit together, or something is not there; `param` says which field.
    """
    if isinstance(body.model, str):
        raise InvalidRequest("model: word vectors are learnt anew; give {emb_dim} or leave this out", param="model")
    given = body.model.model_dump(exclude_none=True)
    refuse_others(body, "model", given, {"emb_dim"})
    train = train_config(body, SkipGramConfig)
    words = train.batch_size * train.window_length * (1 + train.negatives)
    if words > MAX_BATCH_TOKENS:
        told = f"{words:,} pairs, with those by chance, are more than the {MAX_BATCH_TOKENS:,} of a batch"
        raise InvalidRequest(f"train.batch_size: {told}", param="train.batch_size")
    if body.tokenizer is None:
        name, vocab_size = _of_the_text(session, body)
    else:
        name, vocab_size = body.tokenizer, runtime.tokenizers.get(session, body.tokenizer).vocab_size
    try:
        config = Word2VecConfig(vocab_size or 1, **given)
    except BadConfig as error:
        raise InvalidRequest(f"model.{error}", param=f"model.{error.field}") from error
    return Asked(
        model={"emb_dim": config.emb_dim},
        called="word2vec",
        tokenizer_name=name,
        makes_tokenizer=vocab_size is None,
        train=train,
        window=train.window_length,
        network=config,
    )


def words_of(dataset_id: str) -> str:
    """What the word tokenizer that is made of a text along with a job is called."""
    return f"{dataset_id}-words"


def _of_the_text(session: Session, body: JobCreate) -> tuple[str, int | None]:
    """The book's word tokenizer of the text: its name, and its size if an earlier job had it made."""
    if not isinstance(body.dataset, str):
        told = "name one; a word tokenizer is made along for a single text only"
        raise InvalidRequest(f"tokenizer: {told}", param="tokenizer")
    dataset = datasets.read(session, body.dataset, "dataset")
    if dataset.rows is not None:
        raise InvalidRequest("tokenizer: name one; a word tokenizer is made along of texts alone", param="tokenizer")
    name = words_of(dataset.id)
    row = tokenizer_table.get(session, name)
    if row is None:
        return name, None
    if (row.kind, row.version, row.dataset_id) != ("word", 2, dataset.id):
        raise InvalidRequest(f"tokenizer: name one; {name} is there, but not the one to make", param="tokenizer")
    return name, row.vocab_size
