"""Reach: addresses that no mesh file may connect to unless the user allows it.

Link-local addresses answer for the machine itself; on clouds a metadata service stands there and hands out the machine's credentials
to whoever can send it a request.
"""

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

from partsong.contracts.allowed import Allowed

__all__ = ["LinkLocalError", "is_link_local", "socket_factory"]

_NAMES = frozenset({"instance-data", "instance-data.ec2.internal", "metadata", "metadata.goog", "metadata.google.internal"})
"""What clouds call their metadata services."""

_SERVICES = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
    )
)
"""Metadata services that are not at a link-local address."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class LinkLocalError(OSError):
    """The host's address is one that the mesh file may not connect to; nothing was sent."""


def is_link_local(host: str) -> bool:
    """Return whether the host is such an address, in any of the ways to write one, or the name of a metadata service.

    A name that only resolves to one is found when it is connected to.
    """
    name = host.strip("[]").rstrip(".").lower()
    return name in _NAMES or _is_refused(name) or _is_refused(_dotted(name))


def socket_factory(allowed: Allowed) -> Callable[[tuple[Any, ...]], socket.socket]:
    """Return what aiohttp makes sockets with: LinkLocalError for an address that is refused, whatever name or redirect led to it.

    It is asked with the very address that is connected to, so that a name which resolves otherwise a moment later changes nothing.
    """
    return _any_socket if allowed.link_local else _socket


def _socket(address: tuple[Any, ...]) -> socket.socket:
    if _is_refused(str(address[4][0])):
        raise LinkLocalError("a link-local address")
    return _any_socket(address)


def _any_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, _ = address
    return socket.socket(family=family, type=kind, proto=protocol)


def _is_refused(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return any(each.is_link_local or each in _SERVICES for each in (found, *_within(found)))


def _within(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> list[ipaddress.IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for."""
    if isinstance(found, ipaddress.IPv4Address):
        return []
    translated = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF) if found in _NAT64 else None
    compatible = ipaddress.IPv4Address(int(found)) if int(found) >> 32 == 0 else None
    return [inner for inner in (found.ipv4_mapped, found.sixtofour, translated, compatible) if inner is not None]


def _dotted(name: str) -> str:
    """Return an IPv4 address in its usual form that is written as C libraries also read it: `2852039166`, `0xA9FEA9FE`, `169.254.43518`."""
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except OSError:
        return ""
