"""The public hub of models, asked only when somebody says so: files of one revision, each checked by its hash.

A pull that breaks off leaves what arrived, and the next one of the same revision goes on from there.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.errors import Conflict, HubUnreachable, InvalidFile, InvalidRequest, ModelNotFound, TooLarge, UnsupportedFormat
from app.log import get_logger
from app.services.import_files import HOW_TO_CONVERT, PICKLED, Files, is_readable
from app.services.storage import NAME, Storage

if TYPE_CHECKING:
    from huggingface_hub import HfApi

log = get_logger(__name__)

TIMEOUT_S = 10.0  # for an answer to begin; a download may take as long as it takes
RETRY_AFTER_S = 60
SHORT_NAMES = {name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")}
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PULLING = threading.Lock()  # one pull at a time: the line is the same for all


@dataclass(frozen=True)
class HubSource:
    """What is asked for: a repository, a branch, tag or commit of it, and which file where it holds several models."""

    repository: str
    revision: str = "main"
    file: str | None = None


@dataclass(frozen=True)
class Pulled:
    """A revision's files, all there and as the hub says they are."""

    folder: Path
    files: Files
    commit: str
    licence: str | None


@dataclass(frozen=True)
class _Entry:
    """A file as the hub tells of it; one of the two hashes is known."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None


def pull(storage: Storage, endpoint: str, source: HubSource, max_bytes: int) -> Pulled:
    """Fetch what makes a model of a repository.

    Raises:
        InvalidRequest: no name of a repository, revision or file; or several models are there and none is named.
        ModelNotFound: the hub has no such repository, or no such revision of it, that is open to all.
        HubUnreachable: it does not answer, or broke off.
        InvalidFile: what came is not what the hub says it is.
        UnsupportedFormat: its weights are pickled.
        TooLarge: its files are more than `max_bytes`.
        Conflict: another pull is under way.
    """
    repository = SHORT_NAMES.get(source.repository, source.repository)
    if not all(NAME.fullmatch(part) for part in repository.split("/")) or repository.count("/") > 1:
        raise InvalidRequest(f"source.hub: {repository[:200]!r} is no name of a repository", param="source.hub")
    if not _REVISION.fullmatch(source.revision):
        raise InvalidRequest("source.revision: a branch, a tag or a commit is expected", param="source.revision")
    if not _PULLING.acquire(blocking=False):
        raise Conflict("source.hub: another pull is under way; try again when it is done", param="source.hub")
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        api = HfApi(endpoint=endpoint, token=False, library_name="inkling")
        with _in_words(repository, source.revision):
            about = api.model_info(repository, revision=source.revision, timeout=TIMEOUT_S, files_metadata=True)
        commit = str(about.sha)
        wanted = choose(_entries(about), source.file)
        if (total := sum(entry.size for entry in wanted)) > max_bytes:
            raise TooLarge(f"source.hub: its {total:,} bytes are more than {max_bytes:,}", param="source.hub")
        folder = storage.pulled(repository, commit)
        log.info("pulling", repository=repository, commit=commit, bytes=total)
        files = {entry.name: _fetch(api, repository, commit, entry, folder) for entry in wanted}
    finally:
        _PULLING.release()
    licence = getattr(about.card_data, "license", None)
    return Pulled(folder, files, commit, licence if isinstance(licence, str) else None)


def choose(entries: Sequence[_Entry], file: str | None) -> list[_Entry]:
    """The files that make one model.

    Args:
        file: a GGUF file to take alone.

    Raises:
        InvalidRequest: `file` is not there; or there are only GGUF files, and none is named.
        UnsupportedFormat: the weights are pickled.
    """
    named = {entry.name: entry for entry in entries if "/" not in entry.name}
    if file is not None:
        if file not in named or not file.endswith(".gguf"):
            told = f"there is no GGUF file {file[:200]!r}; {_listed(named, '.gguf')}"
            raise InvalidRequest(f"source.file: {told}", param="source.file")
        return [named[file]]
    weights = [name for name in named if name.endswith(".safetensors")]
    if not weights and any(name.endswith(".gguf") for name in named):
        told = f"the repository holds several files of weights, name one; {_listed(named, '.gguf')}"
        raise InvalidRequest(f"source.file: {told}", param="source.file")
    if not weights:
        pickled = next((name for name in named if name.endswith(PICKLED)), None)
        told = f"{pickled} is not read: {HOW_TO_CONVERT}" if pickled else "there are no weights that are read"
        raise UnsupportedFormat(f"source.hub: {told}", param="source.hub")
    if "model.safetensors" in weights:
        weights = ["model.safetensors"]
    elif shards := [name for name in weights if _SHARD.fullmatch(name)]:
        weights = shards
    beside = [name for name in named if is_readable(name) and not name.endswith((".safetensors", ".gguf"))]
    return [named[name] for name in sorted(beside + weights)]


def _listed(named: dict[str, _Entry], ending: str) -> str:
    return "there are " + (", ".join(sorted(name for name in named if name.endswith(ending))[:20]) or "none")


def _entries(about: Any) -> list[_Entry]:
    return [
        _Entry(
            name=one.rfilename,
            size=one.size or 0,
            sha256=one.lfs.sha256 if one.lfs is not None else None,
            git_sha1=one.blob_id,
        )
        for one in about.siblings or ()
    ]


def _fetch(api: HfApi, repository: str, commit: str, entry: _Entry, folder: Path) -> Path:
    """One file, fetched or there already, once its hash was found to be the hub's."""
    place = folder / entry.name
    if not (place.exists() and _is_as_told(place, entry)):
        with _in_words(repository, commit):
            api.hf_hub_download(repository, entry.name, revision=commit, local_dir=folder, etag_timeout=TIMEOUT_S)
        if not _is_as_told(place, entry):
            place.unlink(missing_ok=True)
            told = f"{entry.name} came with other bytes than the hub says it has; try again"
            raise InvalidFile(f"source.hub: {told}", param="source.hub")
    return place


def _is_as_told(path: Path, entry: _Entry) -> bool:
    with path.open("rb") as file:
        if entry.sha256 is not None:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
        content = file.read()
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)  # git's name of a file's content
    digest.update(content)
    return digest.hexdigest() == entry.git_sha1


@contextmanager
def _in_words(repository: str, revision: str) -> Iterator[None]:
    """What the hub, or the way to it, refuses, as the caller is told of it."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError as error:
        told = f"{repository} has no revision {revision!r}"
        raise ModelNotFound(f"source.revision: {told}", param="source.revision") from error
    except errors.RepositoryNotFoundError as error:
        told = f"the hub has no repository {repository!r} that is open to all"
        raise ModelNotFound(f"source.hub: {told}", param="source.hub") from error
    except errors.HFValidationError as error:
        raise InvalidRequest(f"source.hub: {error}", param="source.hub") from error
    except (errors.HfHubHTTPError, errors.FileMetadataError, HTTPError, OSError) as error:
        told = (
            f"the hub does not answer ({type(error).__name__}). What arrived is kept; a second try goes on from it. "
            "By hand: fetch config.json, model.safetensors and tokenizer.json elsewhere, put them into a folder of the "
            'import directory (INKLING_IMPORT_DIR), and import that with {"source": {"folder": …}}'
        )
        raise HubUnreachable(f"source.hub: {told}", param="source.hub", retry_after_s=RETRY_AFTER_S) from error
