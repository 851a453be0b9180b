"""Addresses: which forms there are, and which of them lie outside of all private and special networks."""

from __future__ import annotations

import ipaddress

import pytest

from app.services.addresses import BadAddress, check, is_public, may_be_private


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        *((each, False) for each in (
            "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
            "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "240.0.0.1",
            "64:ff9b:1::808:808", "::808:808", "fd00:ec2::254", "100.100.100.200",
        )),
    ],
)  # fmt: skip
def test_what_is_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/", "http://", "example.org", "http://user@example.org/", "http://a:b@example.org/",
        "http://example.org/#part", "http://example.org:99999/", "http://example.org:0/", "http://exa mple.org/",
        "http://exämple.org/", "https://example.org/" + "a" * 2000, "http://[::1", "http://example.org/\n",
    ],
)  # fmt: skip
def test_other_forms_are_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        check(url, private=True)


@pytest.mark.parametrize(
    ("address", "may"),
    [
        *((each, True) for each in (
            "127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fd00::1", "8.8.8.8", "::ffff:10.0.0.1",
        )),
        *((each, False) for each in (
            "169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fe80::1", "0.0.0.0", "::", "224.0.0.1",
            "ff02::1", "255.255.255.255", "240.0.0.1", "fd00:ec2::254", "100.100.100.200", "2002:a9fe:a9fe::",
        )),
    ],
)  # fmt: skip
def test_what_may_be_called_where_private_networks_are_allowed(address: str, may: bool) -> None:
    assert may_be_private(ipaddress.ip_address(address)) is may
