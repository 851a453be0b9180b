"""Addresses that a stranger may have chosen: their form, what their names lead to, and whether that may be called."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

MAX_URL_CHARACTERS = 2000
DEFAULT_PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")
METADATA = (ipaddress.ip_network("fd00:ec2::254/128"), ipaddress.ip_network("100.100.100.200/32"))
"""Where clouds tell a machine its secrets, outside of the link-local networks."""

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
    assert parts.hostname is not None, "parts_of() saw to it"
    try:
        resolved(parts.hostname, parts.port or DEFAULT_PORTS[parts.scheme], private=private)
    except Unreachable as error:
        raise BadAddress(str(error)) from error


def resolved(host: str, port: int, *, private: bool) -> list[Address]:
    """All addresses of a name, each of which may be called.

    Raises:
        Unreachable: it has none.
        BadAddress: one of them must not be called.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _without_address(host, error) from error
    return _judged([entry[4][0] for entry in found], host, private)


async def soon_resolved(host: str, port: int, *, private: bool) -> list[Address]:
    """As `resolved`, without holding up the loop."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _without_address(host, error) from error
    return _judged([entry[4][0] for entry in found], host, private)


def _without_address(host: str, error: Exception) -> Unreachable:
    return Unreachable(f"{host!r} has no address ({error})")


def _judged(found: list[str | int], host: str, private: bool) -> list[Address]:
    addresses = [ipaddress.ip_address(str(one).partition("%")[0]) for one in found]
    if not addresses:
        raise Unreachable(f"{host!r} has no address")
    for address in addresses:
        if private and not may_be_private(address):
            raise BadAddress(f"{host!r} leads to {address}, which is never called")
        if not private and not is_public(address):
            raise BadAddress(f"{host!r} leads to {address}, which is no public address")
    return list(dict.fromkeys(addresses))


def is_public(address: Address) -> bool:
    """Whether it lies outside of all private, local and special networks, also where IPv4 hides in IPv6."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def may_be_private(address: Address) -> bool:
    """Whether a service may stand there where private networks are allowed: not where clouds tell their secrets, and
    not at what is no one machine."""
    inner = _inner(address)
    if inner is not None:
        return may_be_private(inner)
    is_special = address.is_link_local or address.is_multicast or address.is_unspecified
    is_odd = address.is_reserved and not address.is_loopback  # ::1 lies in a reserved network
    return not (is_special or is_odd or any(address in network for network in METADATA))


def _inner(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
