"""Whether a webhook caller is who it must be: secret, address, timestamp and signature, in that order.

Pure: time and addresses are arguments. Every check runs for every caller, an unknown integration on a dummy
key, so that neither the answer nor the work done tells what was wrong; the reason found first goes to the
security log only.
"""

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from edge.model import Address, IntegrationKey, Network, Secret, SignatureClaim

TOLERANCE_SECONDS: Final = 300.0
"""How far a timestamp may lie from now, either way."""

SECRET_HEADER: Final = "x-whatsapp-gateway-3cx-secret"
TIMESTAMP_HEADER: Final = "x-whatsapp-gateway-timestamp"
SIGNATURE_HEADER: Final = "x-whatsapp-gateway-signature"

_COMPARISONS: Final = 4
"""Secrets compared at least, so that a rotation does not show in the time an answer takes."""

_UNIX_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?", re.ASCII)
_SIGNATURE: Final = re.compile(r"(?:sha256=)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
_TIMESTAMP_LIMIT: Final = 64

_NOWHERE: Final = IPv4Address(0)


@dataclass(slots=True)
class WebhookHeaders:
    """The headers a 3CX webhook proves itself with; None where one is absent."""

    secret: str | None
    timestamp: str | None
    signature: str | None


@dataclass(slots=True)
class HeaderCheck:
    """What the headers alone tell. `refusal` is None if the body may be read.

    `secret` is the one that matched, `signature_hex` the normalised signature to verify over the body, if
    there is one, and `signed_at` the instant the timestamp names.
    """

    refusal: str | None
    secret: Secret | None
    signature_hex: str | None
    signed_at: float | None


_DUMMY: Final = IntegrationKey(
    integration_id="",
    account_id="",
    enabled=False,
    secrets=(
        Secret("", b"no integration has this secret", sha256(b"no integration has this secret").digest()),
    ),
)


def check_headers(
    key: IntegrationKey | None, headers: WebhookHeaders, address: Address | None, now: float
) -> HeaderCheck:
    """Judges a request by its headers. `address` is the caller's, None if unknown; `now` in Unix seconds."""
    subject = _DUMMY if key is None else key
    secret = _matching_secret(subject.secrets, headers.secret, now)
    allowed = _address_allowed(subject, address)
    signed_at = parse_timestamp(headers.timestamp or "")
    signature_hex = parse_signature(headers.signature or "")
    must_sign = subject.signature_required or headers.timestamp is not None or headers.signature is not None
    reasons = (
        (key is None, "unknown_integration"),
        (not subject.enabled, "disabled_integration"),
        (headers.secret is None, "missing_secret"),
        (secret is None, "wrong_secret"),
        (not allowed, "address_not_allowed"),
        (must_sign and (headers.timestamp is None or headers.signature is None), "missing_signature"),
        (must_sign and signed_at is None, "malformed_timestamp"),
        (must_sign and not _is_current(signed_at, now), "stale_timestamp"),
        (must_sign and signature_hex is None, "malformed_signature"),
    )
    refusal = next((reason for failed, reason in reasons if failed), None)
    return HeaderCheck(refusal, secret, signature_hex if must_sign else None, signed_at)


def signature_matches(secret: bytes, timestamp: str, raw: bytes, signature_hex: str) -> bool:
    """Whether `signature_hex` is HMAC-SHA256 over timestamp, a dot and the raw body. Compares in constant
    time.
    """
    signed = hmac.new(secret, timestamp.encode("latin-1") + b"." + raw, sha256).hexdigest()
    return hmac.compare_digest(signed, signature_hex)


def signature_claim(
    integration_id: str, signature_hex: str, timestamp: str, signed_at: float
) -> SignatureClaim:
    """Names a signature, so that it is accepted once. It expires when its timestamp has become stale
    everywhere.
    """
    named = b"\x00".join((integration_id.encode(), signature_hex.encode(), timestamp.encode("latin-1")))
    return SignatureClaim(digest=sha256(named).digest(), expires_at=signed_at + TOLERANCE_SECONDS)


def parse_timestamp(written: str) -> float | None:
    """Unix seconds from ISO 8601 (UTC if it names no zone) or from Unix seconds; None if it is neither."""
    text = written.strip()
    if not text or len(text) > _TIMESTAMP_LIMIT:
        return None
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def parse_signature(written: str) -> str | None:
    """The 64 hex digits in lower case, from `sha256=<hex>` or bare hex; None if it is neither."""
    found = _SIGNATURE.fullmatch(written.strip())
    return found.group(1).lower() if found else None


def parse_network(written: str) -> Network | None:
    """An address or CIDR block, v4 or v6; host bits are dropped. None if it is neither."""
    try:
        return ip_network(written.strip(), strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=4_096)
def parse_address(written: str) -> Address | None:
    """An address, perhaps with a port, brackets or a zone; v4 mapped into v6 becomes v4. None if it is
    none.
    """
    text = written.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def client_address(
    peer: str | None, forwarded_for: str | None, trusted: tuple[Network, ...]
) -> Address | None:
    """The caller's address: the peer's, or, if the peer is a trusted proxy, the first untrusted one from
    the right.

    `forwarded_for` is X-Forwarded-For, several headers joined by commas. None if the address cannot be
    known.
    """
    address = parse_address(peer) if peer else None
    if address is None or forwarded_for is None or not _within(address, trusted):
        return address
    for hop in reversed(forwarded_for.split(",")):
        address = parse_address(hop)
        if address is None or not _within(address, trusted):
            return address
    return address


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _address_allowed(key: IntegrationKey, address: Address | None) -> bool:
    # Looked up in any case, and always equally fast: else the time would tell a long list, and with it a known id.
    listed = (address if address is not None else _NOWHERE) in key.ranges
    unrestricted = not key.networks and not key.unreadable_networks
    return unrestricted or (listed and address is not None)


def _is_current(signed_at: float | None, now: float) -> bool:
    return signed_at is not None and abs(now - signed_at) <= TOLERANCE_SECONDS


def _matching_secret(secrets: tuple[Secret, ...], offered: str | None, now: float) -> Secret | None:
    """Compares with every secret that counts now, and never stops early."""
    digest = sha256((offered or "").encode("latin-1", "replace")).digest()
    match: Secret | None = None
    for secret in secrets:
        same = hmac.compare_digest(digest, secret.digest)
        current = secret.valid_until is None or now < secret.valid_until
        if same and current and offered is not None and match is None:
            match = secret
    for _ in range(_COMPARISONS - len(secrets)):
        hmac.compare_digest(digest, _DUMMY.secrets[0].digest)
    return match
