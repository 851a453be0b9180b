"""How a model's files come to this machine: from a folder that is here, by upload, or from the public hub."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from app.db.base import new_id
from app.db.tables.model import ModelRow
from app.errors import InvalidFile, InvalidRequest, NoDiskSpace, TooLarge, UnsupportedFormat
from app.services import hub
from app.services.hub import Hub, HubSource, Pulled
from app.services.import_checks import Wanted, check_beside, check_licence, check_new
from app.services.import_files import HOW_TO_CONVERT, PICKLED, Files, is_readable
from app.services.importing import import_model
from app.services.outgoing import Way
from app.services.runtime import Runtime
from app.services.storage import NAME, Storage

CHUNK_BYTES = 1 << 20
MAX_FILES = 1000


def from_folder(runtime: Runtime, wanted: Wanted, path: str) -> ModelRow:
    """Import what lies at `path` under the import directory: a folder, or one GGUF file. It stays there.

    Raises:
        InvalidRequest: the path leads elsewhere, or to nothing.
        AppError: as `importing.import_model`.
    """
    place = runtime.storage.to_import(path, wanted.param)
    if not place.exists():
        told = f"there is no {path[:200]!r} in the import directory (INKLING_IMPORT_DIR)"
        raise InvalidRequest(f"{wanted.param}: {told}", param=wanted.param)
    files = {place.name: place} if place.is_file() else _files_in(runtime.storage, place, wanted.param)
    return import_model(runtime, wanted, files, {"kind": "folder", "location": path, "revision": None})


def from_upload(runtime: Runtime, wanted: Wanted, uploads: Iterable[tuple[str, BinaryIO]]) -> ModelRow:
    """Import uploaded files, which go again afterwards.

    Raises:
        TooLarge: together they are more than an upload may be.
        UnsupportedFormat: one is pickled, or of no use.
        InvalidFile: two have one name, or a name that is none.
        AppError: as `importing.import_model`.
    """
    with runtime.database.read() as session:
        check_new(runtime, session, wanted)
    folder = runtime.storage.scratch / new_id("upload")
    folder.mkdir(mode=0o700)
    try:
        files = _receive(folder, uploads, wanted.param, runtime.settings.max_model_upload_bytes)
        location = ", ".join(sorted(files))[:200]
        return import_model(runtime, wanted, files, {"kind": "upload", "location": location, "revision": None})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def from_hub(runtime: Runtime, wanted: Wanted, source: HubSource) -> ModelRow:
    """Fetch a repository of the public hub and import it. A pull that was cut off is taken up where it ended.

    What was fetched goes when it became a model, or when it is of no use; where the refusal is about something else,
    such as a name or the disk, it stays for the next try.

    Raises:
        Conflict: another pull, or the import of what it fetched, is under way.
        HubUnreachable, ModelNotFound, InvalidRequest, NoDiskSpace: as `hub.pull`.
        AppError: as `importing.import_model`.
    """
    with runtime.database.read() as session:
        check_new(runtime, session, wanted)
    with hub.turn():
        return _from_hub(runtime, wanted, source)


def _from_hub(runtime: Runtime, wanted: Wanted, source: HubSource) -> ModelRow:
    settings = runtime.settings

    def judge(beside: Pulled) -> None:
        with _gone_if_useless(beside.folder):
            check_licence(wanted.licence or beside.licence)
            if source.file is None:  # a GGUF file is alone, and tells of itself
                check_beside(runtime, wanted, beside.files)

    asked = Hub(settings.hub_url, Way.of(settings))
    pulled = hub.pull(runtime.storage, asked, source, settings.max_model_upload_bytes, judge)
    licensed = replace(wanted, licence=wanted.licence or pulled.licence)
    origin = {"kind": "hub", "location": source.repository, "revision": pulled.commit}
    with _gone_if_useless(pulled.folder):
        row = import_model(runtime, licensed, pulled.files, origin)
    shutil.rmtree(pulled.folder, ignore_errors=True)
    return row


@contextmanager
def _gone_if_useless(folder: Path) -> Iterator[None]:
    """Remove `folder` when what lies in it is refused: another try would meet the same files."""
    try:
        yield
    except (InvalidFile, UnsupportedFormat):
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _files_in(storage: Storage, folder: Path, param: str) -> Files:
    """The files of a folder by name; those that nothing would read are left alone."""
    entries = sorted(folder.iterdir())
    if len(entries) > MAX_FILES:
        raise InvalidRequest(f"{param}: {len(entries)} files are more than a model has", param=param)
    wanted = [one for one in entries if is_readable(one.name) or one.name.endswith(PICKLED)]
    places = {one.name: storage.within_imports(one, param) for one in wanted}
    return {name: place for name, place in places.items() if place.is_file()}


def _receive(folder: Path, uploads: Iterable[tuple[str, BinaryIO]], param: str, max_bytes: int) -> Files:
    files: dict[str, Path] = {}
    left = max_bytes
    with _full_disk(param):
        for given, source in uploads:
            name = given.replace("\\", "/").rpartition("/")[2]
            if not NAME.fullmatch(name):
                raise InvalidFile(f"{param}: {name[:100]!r} is no name of a file that is read", param=param)
            if name in files:
                raise InvalidFile(f"{param}: there are two files named {name}", param=param)
            if not is_readable(name):
                told = HOW_TO_CONVERT if name.endswith(PICKLED) else "no file of this name belongs to a model"
                raise UnsupportedFormat(f"{param}: {name} is not read: {told}", param=param)
            files[name] = folder / name
            with files[name].open("xb") as file:
                while chunk := source.read(CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise TooLarge(f"{param}: more than the {max_bytes:,} bytes of one model", param=param)
                    file.write(chunk)
    return files


@contextmanager
def _full_disk(param: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoDiskSpace(f"{param}: there is no room for it on the disk", param=param) from error
        raise
