"""Where things lie on disk. The only maker of paths: every name is checked before it becomes one."""

from __future__ import annotations

import re
from pathlib import Path

from app.errors import InvalidRequest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


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


class Storage:
    """Paths under the data directory (written) and the assets directory (read only)."""

    def __init__(self, data_dir: Path, assets_dir: Path) -> None:
        self.data_dir = data_dir
        self.assets_dir = assets_dir

    def prepare(self) -> None:
        """Make the folders, readable by their owner alone."""
        for folder in ("datasets", "tokens", "tokenizers", "models", "jobs", "queue", "scratch"):
            (self.data_dir / folder).mkdir(mode=0o700, parents=True, exist_ok=True)

    def dataset(self, dataset_id: str) -> Path:
        return self.data_dir / "datasets" / check_name(dataset_id)

    def tokenizer(self, name: str) -> Path:
        return self.data_dir / "tokenizers" / f"{check_name(name)}.json"

    def model(self, name: str) -> Path:
        """The folder of a registered model."""
        return self.data_dir / "models" / check_name(name)

    def job(self, job_id: str) -> Path:
        """The folder of a job's checkpoints."""
        return self.data_dir / "jobs" / check_name(job_id)

    def checkpoint(self, job_id: str, directory: str) -> Path:
        return self.job(job_id) / check_name(directory)

    def tokens(self, dataset_id: str) -> Path:
        """The folder of a dataset's token files; all of it can be made again from the text."""
        return self.data_dir / "tokens" / check_name(dataset_id)

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
