"""What /openapi.json tells of keys: the header that they go into, and the scope that each route needs."""

from __future__ import annotations

from typing import Any

from app.api.scopes import needed

SCHEME = "key"
_TOLD = "A key of this server, as `inkling keys create` makes it. What each route needs is a scope of the key."


def add(schema: dict[str, Any]) -> dict[str, Any]:
    """The document with keys in it; routes that ask for none say so."""
    schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes[SCHEME] = {"type": "http", "scheme": "bearer", "description": _TOLD}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            scope = needed(method.upper(), path)
            operation["security"] = [] if scope is None else [{SCHEME: [scope]}]
    return schema
