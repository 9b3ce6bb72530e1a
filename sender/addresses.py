"""Which addresses may be connected to: the address guard. Pure.

Ranges from https://www.iana.org/assignments/iana-ipv4-special-registry and
https://www.iana.org/assignments/iana-ipv6-special-registry.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_URL = 2_048
_REMEMBERED_URLS = 4_096

_REFUSED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local or metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "special purpose"),
    ("192.52.193.0/24", "special purpose"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "special purpose"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
    ("::/96", "unspecified, loopback or IPv4-compatible"),
    ("::ffff:0:0/96", "IPv4-mapped"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b::/96", "NAT64"),
    ("64:ff9b:1::/48", "NAT64"),
    ("100::/64", "discard"),
    ("2001::/23", "Teredo or protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "segment routing"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)

_NETWORKS: tuple[tuple[Network, str], ...] = tuple(
    (ipaddress.ip_network(text), why) for text, why in _REFUSED
)


class AddressRefusedError(Exception):
    """The address may not be connected to. The text says why and names no secret."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What the operator allows: private ranges by name, and plain http in development only.

    With `nothing_else` only the allowed ranges may be reached.
    """

    allowed_ranges: tuple[Network, ...] = ()
    https_required: bool = True
    nothing_else: bool = False

    def check_address(self, text: str) -> None:
        """Raises `AddressRefusedError` unless `text` is an IP address that may be connected to."""
        address = _address(text)
        if any(address in network for network in self.allowed_ranges if network.version == address.version):
            return
        if self.nothing_else:
            raise AddressRefusedError("https is required outside the ranges the operator allowed")
        for network, why in _NETWORKS:
            if network.version == address.version and address in network:
                raise AddressRefusedError(f"the address is {why}")
        if not address.is_global or address.is_multicast:
            raise AddressRefusedError("the address is not a public one")

    def check_every(self, answers: Iterable[str]) -> None:
        """Raises `AddressRefusedError` if any answer is refused: one bad answer spoils the name."""
        for answer in answers:
            self.check_address(answer)

    def check_url(self, url: str) -> None:
        """Raises `AddressRefusedError` unless `url` may be asked; names are checked when resolved."""
        _check_url(self, url)


@lru_cache(_REMEMBERED_URLS)
def _check_url(policy: AddressPolicy, url: str) -> None:
    # Few URLs are asked very often. Only what passed is remembered; names are checked when looked up.
    if len(url) > _LONGEST_URL or not url.isprintable() or any(mark in url for mark in " \\"):
        raise AddressRefusedError("the URL is too long or holds forbidden characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise AddressRefusedError("the URL cannot be read") from error
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise AddressRefusedError("the URL is not an http or https URL with a host")
    if policy.https_required and parts.scheme != "https":
        raise AddressRefusedError("https is required")
    if "@" in parts.netloc:
        raise AddressRefusedError("the URL holds credentials")
    if ":" in host or host.replace(".", "").isdigit():
        policy.check_address(host)


def _address(text: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise AddressRefusedError("the address is not a canonical IP address") from error
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        raise AddressRefusedError("the address has a zone")
    return address
