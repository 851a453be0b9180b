"""What is there, in the place of names by chance: half the words that could be names become some that are known.

Else nearly all that schemathesis asks would be 404. It loads this as its hooks.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import schemathesis

KNOWN: dict[str, list[str]] = json.loads(Path(os.environ["INKLING_TEST_NAMES"]).read_text())
"""By the name of a field or a part of a path."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def known(values: Any, prefix: str = "") -> Any:
    if not isinstance(values, dict):
        return values
    return {field: _known(prefix + field, value) for field, value in values.items()}


def _known(field: str, value: Any) -> Any:
    names = KNOWN.get(field, [])
    if not names or not isinstance(value, str) or not _NAME.fullmatch(value) or value in names:
        return value
    draw = sum(value.encode())
    return names[draw // 2 % len(names)] if draw % 2 else value


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    return known(body)


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, parameters: Any) -> Any:
    operation = context.operation
    if operation is None or operation.method.lower() == "delete":  # what is there is to stay
        return parameters
    prefix = operation.path.split("/")[2 if operation.path.startswith("/v1/") else 1]
    return known(parameters, f"{prefix}.")
