"""Owns the shape of every credential the gateway gives out. Pure: randomness is an argument.

| Credential | Looks like | Random bits | Kept as |
|---|---|---|---|
| webhook secret of an integration | 43 characters | 256 | sealed |
| signing secret | `whsec_` and 43 characters | 256 | sealed |
| API key | `wg_live_…` or `wg_test_…` | 256 | SHA-256 |
| bearer key of an SMS-provider connector | `sms_…` | 256 | SHA-256 |
| service token | `hgs_…` | 256 | SHA-256 |
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

RandomBytes = Callable[[int], bytes]

_SECRET_BYTES = 32
_PREFIX_CHARACTERS = 14


@dataclass(frozen=True, slots=True, repr=False)
class GeneratedKey:
    """A credential shown once: its text, the prefix people recognise it by, and the digest that is kept."""

    text: str
    prefix: str
    digest: bytes


def new_webhook_secret(random_bytes: RandomBytes) -> str:
    """A secret for the header that 3CX sends."""
    return _random_text(random_bytes)


def new_signing_secret(random_bytes: RandomBytes) -> str:
    """A key that events to customers' systems are signed with."""
    return "whsec_" + _random_text(random_bytes)


def new_api_key(random_bytes: RandomBytes, *, test: bool) -> GeneratedKey:
    """A customer system's API key."""
    return _key("wg_test_" if test else "wg_live_", random_bytes)


def new_sms_key(random_bytes: RandomBytes) -> GeneratedKey:
    """The bearer key that 3CX shows to its provider of text messages."""
    return _key("sms_", random_bytes)


def new_service_token(random_bytes: RandomBytes) -> GeneratedKey:
    """An internal service's token."""
    return _key("hgs_", random_bytes)


def digest(credential: str) -> bytes:
    """SHA-256 of a credential. Enough without salt: what it covers has 256 random bits."""
    return sha256(credential.encode("utf-8")).digest()


def token_id(token: str) -> str:
    """Name of a token that a person chose or made: 8 characters that tell nothing about it."""
    return sha256(b"hubgate-token-id\x00" + token.encode("utf-8")).hexdigest()[:8]


def same(left: str | bytes, right: str | bytes) -> bool:
    """Whether two credentials are equal, in a time that does not depend on where they differ."""
    return compare_digest(_bytes(left), _bytes(right))


def _key(kind: str, random_bytes: RandomBytes) -> GeneratedKey:
    text = kind + _random_text(random_bytes)
    return GeneratedKey(text=text, prefix=text[:_PREFIX_CHARACTERS], digest=digest(text))


def _random_text(random_bytes: RandomBytes) -> str:
    return urlsafe_b64encode(random_bytes(_SECRET_BYTES)).rstrip(b"=").decode("ascii")


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value
