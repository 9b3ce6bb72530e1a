"""The address under which the outside reaches this gateway: as configured, else as the caller reached it. Pure."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

_HOST: Final = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?",
    re.ASCII,
)
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)*", re.ASCII)


def read_public_url(written: str) -> str | None:
    """The address without a slash at its end; None if it is not `https://host[:port][/path]` (or http)."""
    text = written.strip().rstrip("/")
    try:
        parts = urlsplit(text)
    except ValueError:
        return None
    plain = parts.scheme in ("http", "https") and not parts.query and not parts.fragment
    if not plain or "?" in text or "#" in text or not _HOST.fullmatch(parts.netloc):
        return None
    return text if _PATH.fullmatch(parts.path) else None


def address_of_request(host: str, forwarded_proto: str) -> str:
    """What a request itself says of the address it came to; empty if that is no address.

    Whoever makes the request gets the answer, and may have made this up: it must not be shown to anybody else.
    Without `X-Forwarded-Proto` a name is taken to be reached by https, and a number of one's own network without.
    """
    found = _HOST.fullmatch(host.strip())
    if found is None:
        return ""
    scheme = forwarded_proto.partition(",")[0].strip().lower()
    if scheme not in ("http", "https"):
        scheme = "http" if _is_near(found["name"].strip("[]")) else "https"
    return f"{scheme}://{host.strip()}"


def _is_near(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_private
    except ValueError:
        return False
