"""Owns the checks that several kinds of configuration share. Each returns the value as it is kept, or raises
`Malformed`.
"""

import ipaddress
import unicodedata
from collections.abc import Sequence
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import phonenumbers

from policycore.errors import Malformed
from policycore.phone import normalize_phone

LANGUAGES = ("en", "ar")
_MAX_ADDRESSES = 200
_MAX_URL_CHARACTERS = 2000


def check_name(field: str, text: str) -> str:
    """A name for people: 1 to 200 visible characters."""
    name = text.strip()
    if not name:
        raise Malformed(field, "must not be empty.")
    return check_text(field, name, 200)


def check_text(field: str, text: str, longest: int) -> str:
    """Free text without control characters."""
    if len(text) > longest:
        raise Malformed(field, f"may have at most {longest} characters, and has {len(text)}.")
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise Malformed(field, "holds a control character.")
    return text


def check_language(field: str, text: str) -> str:
    """A language the product speaks; English if none is given."""
    language = text.strip().lower() or "en"
    if language not in LANGUAGES:
        raise Malformed(field, f"must be one of {', '.join(LANGUAGES)}, and is {language[:16]!r}.")
    return language


def check_time_zone(field: str, text: str) -> str:
    """An IANA time zone such as `Asia/Riyadh`; UTC if none is given."""
    name = text.strip() or "UTC"
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise Malformed(
            field, f"is not an IANA time zone: {name[:64]!r} (for example Asia/Riyadh)."
        ) from None
    return name


def check_country(field: str, text: str) -> str:
    """An ISO 3166 country with a numbering plan, or empty."""
    country = text.strip().upper()
    if country and country not in phonenumbers.SUPPORTED_REGIONS:
        raise Malformed(field, f"is not an ISO 3166 country code: {country[:16]!r} (for example SA).")
    return country


def check_phone(field: str, text: str) -> str:
    """A number in E.164 with `+`, or empty."""
    if not text.strip():
        return ""
    number = normalize_phone(text, None)
    if number is None:
        raise Malformed(field, "is not a possible number in international form (for example +966500000000).")
    return number


def check_url(field: str, text: str, *, plain_http: bool) -> str:
    """An absolute http or https address without credentials; https only, unless `plain_http`."""
    url = text.strip()
    if len(url) > _MAX_URL_CHARACTERS or any(character.isspace() for character in url):
        raise Malformed(field, f"is no address: spaces, or more than {_MAX_URL_CHARACTERS} characters.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Malformed(field, "is not an address.") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise Malformed(field, "must be an absolute address that begins with https://.")
    if parts.scheme == "http" and not plain_http:
        raise Malformed(field, "must begin with https://; http:// is for development only.")
    if parts.username or parts.password:
        raise Malformed(field, "must not hold a user name or password.")
    return url


def check_addresses(field: str, texts: Sequence[str]) -> tuple[str, ...]:
    """IP addresses and CIDR blocks, v4 and v6, in their usual form and without repeats."""
    if len(texts) > _MAX_ADDRESSES:
        raise Malformed(field, f"may hold at most {_MAX_ADDRESSES} addresses, and holds {len(texts)}.")
    found: dict[str, None] = {}
    for text in texts:
        try:
            network = ipaddress.ip_network(text.strip(), strict=False)
        except ValueError:
            raise Malformed(field, f"{text[:64]!r} is not an IP address or CIDR block.") from None
        whole = network.prefixlen == network.max_prefixlen
        found[str(network.network_address) if whole else str(network)] = None
    return tuple(found)
