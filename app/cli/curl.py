"""`--print-curl`: a request as the shell would send it. A key is named, never shown."""

from __future__ import annotations

import shlex

import httpx

from app.cli import show

KEY = '-H "Authorization: Bearer $INKLING_API_KEY"'
"""In quotes that let the shell fill it in."""


def printed(client: httpx.Client, *words: str) -> None:
    """Print the command of these words, with the key's place where the client has one."""
    has_key = "authorization" in client.headers
    show.output.print(f"curl {f'{KEY} ' if has_key else ''}{shlex.join(words)}", markup=False)
