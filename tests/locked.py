"""Settings of a service that lets nobody in without a key."""

from __future__ import annotations

from pathlib import Path

from app.config import Settings


def locked(data_dir: Path) -> Settings:
    """The embedded default without assets, where a key is needed though it is bound to this machine alone."""
    return Settings(
        _env_file=None,
        data_dir=data_dir,
        assets_dir=data_dir / "no-assets",
        database_url="",
        broker_url="",
        device="cpu",
        require_keys="true",
    )
