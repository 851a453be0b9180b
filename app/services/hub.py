"""The public hub of models, asked only when somebody says so: files of one revision, each checked by its hash.

The small files come first, so that they can be judged before the weights are fetched. A pull that breaks off leaves
what arrived, in the midst of a file too, and the next one of the same revision goes on from there.
"""

from __future__ import annotations

import errno
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.errors import Conflict, HubUnreachable, InvalidRequest, ModelNotFound, NoDiskSpace, TooLarge, UnsupportedFormat
from app.log import get_logger
from app.services import outgoing
from app.services.addresses import BadAddress
from app.services.hub_files import TIMEOUT_S, Entry, arrived, fetch
from app.services.import_files import HOW_TO_CONVERT, INDEX, PICKLED, WEIGHTS, Files, is_readable
from app.services.outgoing import DIRECTLY, HOW_TO_ALLOW, Bounds, Way
from app.services.storage import NAME, Storage

log = get_logger(__name__)

BY_HAND = (
    "By hand: fetch config.json, model.safetensors and tokenizer.json elsewhere, put them into a folder of the "
    'import directory (INKLING_IMPORT_DIR), and import that with {"source": {"folder": …}}'
)
RETRY_AFTER_S = 60
SPARE_DISK_BYTES = 64 * 1024 * 1024
SHORT_NAMES = {name: f"openai-community/{name}" for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")}
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PULLING = threading.Lock()  # one pull at a time: the line is the same for all


ABOUT = Bounds(max_bytes=32 * 1024 * 1024, total_s=60.0, silent_s=TIMEOUT_S)
"""Of what a hub tells of a repository: it lists all its files."""


@dataclass(frozen=True)
class Hub:
    """Who is asked, and how to get there."""

    endpoint: str
    way: Way = DIRECTLY


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
class _About:
    """A revision as the hub tells of it."""

    commit: str
    licence: str | None
    entries: list[Entry]


@contextmanager
def turn() -> Iterator[None]:
    """One pull at a time, for as long as somebody needs the files: another one would meet them half written or gone.

    Raises:
        Conflict: another pull is under way.
    """
    if not _PULLING.acquire(blocking=False):
        raise Conflict("source.hub: another pull is under way; try again when it is done", param="source.hub")
    try:
        yield
    finally:
        _PULLING.release()


Judge = Callable[[Pulled], None]
"""Looks at the files beside the weights, before those are fetched; what it raises ends the pull."""


def pull(storage: Storage, hub: Hub, source: HubSource, max_bytes: int, judge: Judge | None = None) -> Pulled:
    """Fetch what makes a model of a repository. Called within a `turn`.

    Args:
        judge: asked before the weights are fetched.

    Raises:
        InvalidRequest: no name of a repository, revision or file; or several models are there and none is named.
        ModelNotFound: the hub has no such repository, or no such revision of it, that is open to all.
        HubUnreachable: it does not answer, or broke off.
        InvalidFile: what came is not what the hub says it is.
        UnsupportedFormat: its weights are pickled.
        TooLarge: its files are more than `max_bytes`.
        NoDiskSpace: there is no room for them.
    """
    repository = SHORT_NAMES.get(source.repository, source.repository)
    if not all(NAME.fullmatch(part) for part in repository.split("/")) or repository.count("/") > 1:
        raise InvalidRequest(f"source.hub: {repository[:200]!r} is no name of a repository", param="source.hub")
    if not _REVISION.fullmatch(source.revision):
        raise InvalidRequest("source.revision: a branch, a tag or a commit is expected", param="source.revision")
    about = _ask(hub, repository, source.revision)
    wanted = choose(about.entries, source.file)
    if (total := sum(entry.size for entry in wanted)) > max_bytes:
        raise TooLarge(f"source.hub: its {total:,} bytes are more than {max_bytes:,}", param="source.hub")
    folder = storage.pulled(repository, about.commit)
    check_room(storage.import_dir, total - sum(arrived(entry, folder) for entry in wanted))
    log.info("pulling", repository=repository, commit=about.commit, bytes=total)
    weights = [entry for entry in wanted if entry.name.endswith(WEIGHTS)]
    beside = [entry for entry in wanted if entry not in weights]
    files = {entry.name: _fetch(hub, repository, about.commit, entry, folder) for entry in beside}
    if judge is not None:
        judge(Pulled(folder, files, about.commit, about.licence))
    files |= {entry.name: _fetch(hub, repository, about.commit, entry, folder) for entry in weights}
    return Pulled(folder, files, about.commit, about.licence)


def check_room(folder: Path, needed: int) -> None:
    """See that so many bytes more can lie in `folder`, and leave some to spare for whatever else writes there.

    Raises:
        NoDiskSpace: they cannot.
    """
    free = shutil.disk_usage(folder).free
    if needed + SPARE_DISK_BYTES > free:
        told = f"source.hub: {needed:,} bytes are to be fetched, {free:,} are free on the disk"
        raise NoDiskSpace(told, param="source.hub")


def choose(entries: Sequence[Entry], file: str | None) -> list[Entry]:
    """The files that make one model.

    Args:
        file: a GGUF file to take alone.

    Raises:
        InvalidRequest: `file` is not there; or there are only GGUF files, and none is named.
        UnsupportedFormat: the weights are pickled.
    """
    named = {entry.name: entry for entry in entries if "/" not in entry.name and entry.name.isprintable()}
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
    beside = [name for name in named if is_readable(name) and not name.endswith(WEIGHTS)]
    if weights == ["model.safetensors"] and INDEX in beside:
        beside.remove(INDEX)  # it lists shards, which are not fetched
    return [named[name] for name in sorted(beside + weights)]


def _listed(named: dict[str, Entry], ending: str) -> str:
    return "there are " + (", ".join(sorted(name for name in named if name.endswith(ending))[:20]) or "none")


def _ask(hub: Hub, repository: str, revision: str) -> _About:
    """What the hub has of a revision.

    Raises:
        HubUnreachable: it does not answer, or what answers is something else.
    """
    from huggingface_hub import ModelInfo, hf_raise_for_status

    url = f"{hub.endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}"
    try:
        with _in_words(repository, revision), outgoing.client(hub.way, ABOUT) as client:
            answer = client.get(url, params={"blobs": True})
            hf_raise_for_status(answer)
        about = ModelInfo(**answer.json())  # type: ignore[no-untyped-call]
        if not isinstance(about.sha, str) or not NAME.fullmatch(about.sha):
            raise ValueError(f"{about.sha!r} is no commit")
        licence = getattr(about.card_data, "license", None)
        return _About(about.sha, licence if isinstance(licence, str) else None, _entries(about))
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # no JSON, or of another make
        told = f"what answered at {hub.endpoint} is not the hub ({type(error).__name__}). {BY_HAND}"
        raise HubUnreachable(f"source.hub: {told}", param="source.hub", retry_after_s=RETRY_AFTER_S) from error


def _entries(about: Any) -> list[Entry]:
    entries = [
        Entry(
            name=one.rfilename,
            size=one.size or 0,
            sha256=one.lfs.sha256 if one.lfs is not None else None,
            git_sha1=one.blob_id,
        )
        for one in about.siblings or ()
    ]
    if not all(isinstance(one.name, str) and type(one.size) is int and one.size >= 0 for one in entries):
        raise TypeError("a file without a name or a size")
    return entries


def _fetch(hub: Hub, repository: str, commit: str, entry: Entry, folder: Path) -> Path:
    from huggingface_hub import hf_hub_url

    with _in_words(repository, commit, folder):
        url = hf_hub_url(repository, entry.name, revision=commit, endpoint=hub.endpoint)
        return fetch(url, entry, folder, hub.way)


@contextmanager
def _in_words(repository: str, revision: str, folder: Path | None = None) -> Iterator[None]:
    """What the hub, or the way to it, refuses, as the caller is told of it.

    Args:
        folder: where what arrived lies.
    """
    from httpx2 import HTTPError, InvalidURL
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError as error:
        told = f"{repository} has no revision {revision!r}"
        raise ModelNotFound(f"source.revision: {told}", param="source.revision") from error
    except errors.RepositoryNotFoundError as error:
        told = f"the hub has no repository {repository!r} that is open to all"
        raise ModelNotFound(f"source.hub: {told}", param="source.hub") from error
    except BadAddress as error:
        told = f"the hub is not asked: {error}. {HOW_TO_ALLOW}"
        raise HubUnreachable(f"source.hub: {told}", param="source.hub", retry_after_s=RETRY_AFTER_S) from error
    except errors.HFValidationError as error:
        raise InvalidRequest(f"source.hub: {error}", param="source.hub") from error
    except (errors.HfHubHTTPError, HTTPError, InvalidURL, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = "there is no room for its files on the disk"
            raise NoDiskSpace(f"source.hub: {told}", param="source.hub") from error
        kept = "What arrived is kept; a second try goes on from it. " if _holds_something(folder) else ""
        told = f"the hub does not answer ({type(error).__name__}). {kept}{BY_HAND}"
        raise HubUnreachable(f"source.hub: {told}", param="source.hub", retry_after_s=RETRY_AFTER_S) from error


def _holds_something(folder: Path | None) -> bool:
    return folder is not None and folder.exists() and any(one.stat().st_size for one in folder.iterdir())
