"""An assets directory for services that are to have no model and no tokenizer data from the installation."""

from __future__ import annotations

import sys
from pathlib import Path


def no_assets(folder: Path) -> Path:
    """Make `folder`, empty but for the kernels that were built at install: each service would compile them anew."""
    folder.mkdir(parents=True)
    built = Path(sys.prefix) / "share" / "inkling" / "kernels"
    if built.is_dir():
        (folder / "kernels").symlink_to(built)
    return folder
