"""Requests to addresses that a stranger may have chosen: to public ones alone, unless a setting allows others.

A name is resolved once, each of its addresses is judged, and the connection goes to the one that was judged: a name
that answers otherwise a moment later leads nowhere else. No proxy, no redirect, no cookie, and a limit on all of it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    import httpx

TOTAL_S = 15.0
MAX_URL_CHARACTERS = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadAddress(ValueError):
    """An address that cannot be, or is not to be, called; the text says why."""


class Unreachable(OSError):
    """It did not answer, or not in time; the text says how that showed."""


def parts_of(url: str) -> SplitResult:
    """The parts of an address that may be called.

    Raises:
        BadAddress: it is of another form.
    """
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        raise BadAddress(f"at most {MAX_URL_CHARACTERS} printable ASCII characters without spaces are expected")
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise BadAddress(str(error)) from error
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or not port_is_fine:
        raise BadAddress("an http:// or https:// address is expected")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadAddress("no user, password or fragment may stand in it")
    return parts


def check(url: str, *, private: bool) -> None:
    """Pass an address that may be called; a name in it is resolved.

    Args:
        private: whether addresses of a private network, and of this machine, may be.

    Raises:
        BadAddress: it is of another form, has a name without an address, or leads where it must not.
    """
    parts = parts_of(url)
    host, port = _host(parts), _port(parts)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BadAddress(f"{host!r} has no address ({error})") from error
    _judged([entry[4][0] for entry in found], host, private)


def post(url: str, body: bytes, headers: dict[str, str], *, private: bool, total_s: float = TOTAL_S) -> int:
    """Send `body`, and give the status of the answer; nothing else of it is read.

    Raises:
        BadAddress: as `check`, judged anew.
        Unreachable: there was no answer within `total_s` seconds.
    """
    return asyncio.run(_post(url, body, headers, private, total_s, 0)).status


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


def ask(url: str, body: bytes, headers: dict[str, str], *, private: bool, total_s: float, max_bytes: int) -> Answer:
    """As `post`, with what is answered.

    Raises:
        BadAddress: as `check`, judged anew.
        Unreachable: there was no answer within `total_s` seconds, or it has more than `max_bytes` bytes.
    """
    return asyncio.run(_post(url, body, headers, private, total_s, max_bytes))


async def _post(
    url: str, body: bytes, headers: dict[str, str], private: bool, total_s: float, max_bytes: int
) -> Answer:
    import httpx

    parts = parts_of(url)
    host, port = _host(parts), _port(parts)
    try:
        async with asyncio.timeout(total_s):
            address = (await _resolved(host, port, private))[0]
            target = httpx.URL(url).copy_with(host=str(address), port=port)
            named = {"host": parts.netloc, "user-agent": "inkling", "content-type": "application/json"}
            async with (
                httpx.AsyncClient(trust_env=False, timeout=total_s) as client,
                client.stream(
                    "POST", target, content=body, headers=named | headers, extensions={"sni_hostname": host}
                ) as answer,
            ):
                return Answer(answer.status_code, await _read(answer, max_bytes) if max_bytes else b"")
    except TimeoutError as error:
        raise Unreachable(f"no answer within {total_s:g} s") from error
    except httpx.HTTPError as error:
        raise Unreachable(f"{type(error).__name__}: {error}"[:300]) from error


async def _resolved(host: str, port: int, private: bool) -> list[Address]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host!r} has no address ({error})") from error
    return _judged([entry[4][0] for entry in found], host, private)


async def _read(answer: httpx.Response, max_bytes: int) -> bytes:
    found = bytearray()
    async for piece in answer.aiter_bytes():
        found += piece
        if len(found) > max_bytes:
            raise Unreachable(f"it answered more than {max_bytes:,} bytes")
    return bytes(found)


def _host(parts: SplitResult) -> str:
    assert parts.hostname is not None, "parts_of() saw to it"
    return parts.hostname


def _port(parts: SplitResult) -> int:
    return parts.port or DEFAULT_PORTS[parts.scheme]


def _judged(found: list[str | int], host: str, private: bool) -> list[Address]:
    addresses = [ipaddress.ip_address(str(one).partition("%")[0]) for one in found]
    if not addresses:
        raise BadAddress(f"{host!r} has no address")
    if not private:
        for address in addresses:
            if not is_public(address):
                raise BadAddress(f"{host!r} leads to {address}, which is no public address")
    return addresses


def is_public(address: Address) -> bool:
    """Whether it lies outside of all private, local and special networks, also where IPv4 hides in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if inner is None and address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved
