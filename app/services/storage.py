"""Where things lie on disk. The only maker of paths: every name is checked before it becomes one."""

from __future__ import annotations

import re
from pathlib import Path

from app.errors import InvalidRequest

MAX_NAME_CHARACTERS = 96
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")

MODEL_NAME = re.compile(rf"{NAME.pattern}(:{NAME.pattern})?")
"""Of a model; an adapter's is its base's, a colon, and its own."""


def check_name(name: str, param: str = "name") -> str:
    """`name`, if it is one that may be given to a model, tokenizer, dataset or job.

    Raises:
        InvalidRequest: it is not of the form `[A-Za-z0-9][A-Za-z0-9._-]{0,95}`.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name[:200]!r} is no name: a letter or digit, then at most 95 letters, digits, dots, dashes, underscores",
            param=param,
        )
    return name


def check_model_name(name: str) -> str:
    """`name`, if a model or adapter may be called so.

    Raises:
        InvalidRequest: as `check_name`.
    """
    return name if MODEL_NAME.fullmatch(name) else check_name(name)


class Storage:
    """Paths under the data directory (written) and the assets directory (read only)."""

    def __init__(self, data_dir: Path, assets_dir: Path, import_dir: Path | None = None) -> None:
        self.data_dir = data_dir
        self.assets_dir = assets_dir
        self.import_dir = import_dir or data_dir / "import"

    def prepare(self) -> None:
        """Make the folders, readable by their owner alone."""
        for folder in ("datasets", "originals", "tokens", "tokenizers", "models", "jobs", "queue", "scratch", "spool"):
            (self.data_dir / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.import_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def kept(self) -> list[Path]:
        """The folders whose files nothing else can make again."""
        return [self.data_dir / name for name in ("datasets", "originals", "tokenizers", "models", "jobs")]

    @property
    def spool(self) -> Path:
        """Where what is being sent waits. Apart from scratch: torch, too, puts folders where the system's would be."""
        return self.data_dir / "spool"

    @property
    def session_secret(self) -> Path:
        """What the sessions of pages are signed with, apart from the database, which has no secret in it."""
        return self.data_dir / "session-secret"

    def dataset(self, dataset_id: str) -> Path:
        return self.data_dir / "datasets" / check_name(dataset_id)

    def original(self, dataset_id: str) -> Path:
        """A dataset's file as it was sent, where what is kept of it has another form."""
        return self.data_dir / "originals" / check_name(dataset_id)

    def tokenizer(self, name: str) -> Path:
        return self.data_dir / "tokenizers" / f"{check_name(name)}.json"

    def model(self, name: str) -> Path:
        """The folder of a registered model."""
        return self.data_dir / "models" / check_model_name(name)

    def job(self, job_id: str) -> Path:
        """The folder of a job's checkpoints."""
        return self.data_dir / "jobs" / check_name(job_id)

    def checkpoint(self, job_id: str, directory: str) -> Path:
        return self.job(job_id) / check_name(directory)

    def tokens(self, dataset_id: str) -> Path:
        """The folder of a dataset's token files; all of it can be made again from the text."""
        return self.data_dir / "tokens" / check_name(dataset_id)

    def to_import(self, path: str, param: str) -> Path:
        """What lies under the import directory at a relative path; it may not exist.

        Raises:
            InvalidRequest: the path, or what a link on it points to, is not within that directory.
        """
        parts = path.split("/")
        if not all(NAME.fullmatch(part) for part in parts):
            told = "a path within the import directory is expected: names of letters, digits, dots, dashes, underscores"
            raise InvalidRequest(f"{param}: {path[:200]!r}: {told}, joined by /", param=param)
        return self.within_imports(self.import_dir.joinpath(*parts), param)

    def within_imports(self, path: Path, param: str) -> Path:
        """The place that `path` names once links are followed.

        Raises:
            InvalidRequest: it is not within the import directory.
        """
        place = path.resolve()
        if not place.is_relative_to(self.import_dir.resolve()):
            raise InvalidRequest(f"{param}: {path.name!r} leads out of the import directory", param=param)
        return place

    def pulled(self, repository: str, commit: str) -> Path:
        """Where the files of a hub's repository are gathered; they stay there while a pull is not at its end."""
        return self.import_dir / "hub" / check_name(repository.replace("/", "--"), "source.hub") / check_name(commit)

    @property
    def scratch(self) -> Path:
        """For files being written, on the same filesystem as their final place."""
        return self.data_dir / "scratch"

    @property
    def queue(self) -> Path:
        """The embedded broker's folders."""
        return self.data_dir / "queue"

    def asset(self, name: str) -> Path:
        return self.assets_dir / check_name(name)

    @property
    def tiktoken_cache(self) -> Path:
        return self.assets_dir / "tiktoken"
