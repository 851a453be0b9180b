"""What values of settings look like: each says what is wrong with a value, or gives it as it is meant."""

from __future__ import annotations

import re
from ipaddress import ip_network
from urllib.parse import urlsplit

from pydantic import AfterValidator

EVERY = "*"
LOCAL = "local"


def backend(value: str) -> str:
    if value in ("", LOCAL):
        return LOCAL
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it must be local, or the http:// or https:// address of an OpenAI-compatible server")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a password would stand in logs; use INKLING_GENERATION_API_KEY")
    return value


def collector(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
        raise ValueError("it must be the http:// or https:// address of an OpenTelemetry collector")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address with a password would stand in logs; use OTEL_EXPORTER_OTLP_HEADERS")
    return value


def lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def header_value(value: str) -> str:
    if not all("!" <= character <= "~" for character in value):
        raise ValueError("it must be printable ASCII without spaces")
    return value


def meeting_place(value: str) -> str:
    host, _, port = value.rpartition(":")
    if value and not (host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise ValueError("it must be an address and a port, as in 10.0.0.5:29400")
    return value


def listed(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def each(pattern: str, told: str) -> AfterValidator:
    """Of a list with commas: each part is of this form."""

    def check(value: str) -> str:
        for part in listed(value):
            if not re.fullmatch(pattern, part):
                raise ValueError(f"{part!r} is not {told}")
        return value

    return AfterValidator(check)


def proxy(value: str) -> str:
    if value and not re.fullmatch(r"https?://[!-~]+", value):
        raise ValueError("an address such as http://proxy:3128 is expected")
    return value


def proxies(value: str) -> str:
    for part in listed(value):
        if part not in (EVERY, "none"):
            ip_network(part)
    return value
