"""What is written to a connection: where a request goes, and the bytes of its head. Pure.

Nothing that could end a line early gets into a head: hosts and targets are made of a fixed set of characters, and
headers are checked one by one, every time.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import idna

_METHOD = re.compile(r"[A-Z]{1,16}", re.ASCII)
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?", re.ASCII)
_LONGEST_HOST = 253
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
_LONGEST_VALUE = 4_096
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PATH_SAFE = "/%:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?"
_PORTS = {"http": 80, "https": 443}

_OURS = frozenset(
    {
        *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"),
        *("upgrade", "expect", "proxy-connection", "user-agent", "accept", "accept-encoding"),
    }
)
"""What frames a message and what this client says of itself; nobody else writes these."""


class BadRequestError(ValueError):
    """No valid HTTP request can be made of this. The text names no secret."""


class Place(NamedTuple):
    """Where connections go to; they are shared by all requests to one place. `host` is ASCII, lower case."""

    scheme: str
    host: str
    port: int

    @property
    def is_address(self) -> bool:
        """True if `host` is an IP address, or means to be one."""
        return ":" in self.host or self.host.replace(".", "").isdigit()


@dataclass(frozen=True, slots=True)
class Plan:
    """What all requests with one method and URL have in common. `start` ends with a line's end."""

    place: Place
    start: str
    says_length: bool


def plan(method: str, url: str) -> Plan:
    """The plan for `method` and an absolute `url`. Raises `BadRequestError`."""
    if not _METHOD.fullmatch(method):
        raise BadRequestError("the method is none")
    try:
        parts = urlsplit(url)
        host = _ascii_host(parts.hostname or "", bracketed="[" in parts.netloc)
        place = Place(parts.scheme, host, parts.port or _PORTS[parts.scheme])
        target = _quoted(_without_dots(parts.path), _PATH_SAFE)
        if parts.query:
            target += "?" + _quoted(parts.query, _QUERY_SAFE)
    except (ValueError, KeyError) as error:
        raise BadRequestError("the URL cannot be made a request of") from error
    lines = (
        f"{method} {target} HTTP/1.1",
        f"Host: {_host_header(place)}",
        "User-Agent: hubgate",
        "Accept: */*",
        "Accept-Encoding: identity",
        "",
    )
    return Plan(place, "\r\n".join(lines), method not in {"GET", "HEAD"})


def message(plan: Plan, headers: Mapping[str, str], body: bytes) -> bytes:
    """The whole request as it is written. Raises `BadRequestError` for headers that are none."""
    lines = plan.start
    for name, value in headers.items():
        # Printable ASCII is 0x20 to 0x7e: no line ends, no NUL, no other bytes that servers read differently.
        if not (
            _HEADER_NAME.fullmatch(name)
            and len(value) <= _LONGEST_VALUE
            and value.isascii()
            and value.isprintable()
        ):
            raise BadRequestError(f"the header {name[:64]!r} holds forbidden characters")
        if name.lower() in _OURS:
            raise BadRequestError(f"the header {name!r} is not the caller's to set")
        lines += f"{name}: {value}\r\n"
    if body or plan.says_length:
        return f"{lines}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body
    return f"{lines}\r\n".encode("ascii")


def _ascii_host(host: str, *, bracketed: bool) -> str:
    """The host as it is looked up and named to the other side. Raises ValueError."""
    if bracketed:
        address = ipaddress.IPv6Address(host)
        if address.scope_id:
            raise ValueError("the address has a zone")
        return str(address)
    if not host.isascii():
        host = _idna(host)
    host = host.lower()
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        raise ValueError("the host is no name")
    return host


def _idna(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except UnicodeError:
        # Names of the older standard, such as those with pictures in them, are still registered.
        return host.encode("idna").decode("ascii")


def _host_header(place: Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host.rstrip(".")
    return host if place.port == _PORTS[place.scheme] else f"{host}:{place.port}"


def _quoted(text: str, safe: str) -> str:
    """Percent-encodes what may not stand in a request line; what is encoded already stays as it is."""
    return quote(_STRAY_PERCENT.sub("%25", text), safe=safe)


def _without_dots(path: str) -> str:
    """The path with `.` and `..` resolved, as https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4 says."""
    if "/." not in path:
        return path or "/"
    kept: list[str] = []
    parts = path.split("/")[1:]
    for part in parts:
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    if parts[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)
