"""Which network addresses an image may come from: the public ones, judged when the connection is made.

A name may resolve to anything, differently each time, and a redirect may name anything. So the check sits
where a socket is made for one address: nothing can be connected to that was not looked at.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

#: Translates to IPv4 (RFC 6052): the last 32 bits are the address that is reached.
NAT64 = IPv6Network("64:ff9b::/96")
#: The obsolete form of an IPv4 address in IPv6 (RFC 4291, 2.5.5.1).
COMPATIBLE = IPv6Network("::/96")


class PrivateAddress(OSError):
    """The address is not on the public internet. One text for all, so that attempts on several add up to one."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is not public")


def is_public(text: str) -> bool:
    """Is this IP address reachable on the public internet, and only there? False for what is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(part.is_global and not part.is_multicast for part in (address, *_carried(address)))


def public_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket for one result of ``getaddrinfo``. Raises PrivateAddress unless the address is public."""
    family, kind, protocol, _, address = info
    if not is_public(address[0]):
        raise PrivateAddress
    return socket.socket(family, kind, protocol)


def _carried(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """IPv4 addresses that an IPv6 address stands for in one of the transition schemes."""
    if isinstance(address, IPv4Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64 or address in COMPATIBLE:
        carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in carried if inner is not None]
