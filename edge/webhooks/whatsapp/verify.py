"""Whether a webhook really comes from the instance's back end. Pure; compares secrets in constant time.

Cloud API: HMAC-SHA256 over the raw body with the app secret,
https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint.
WAHA: HMAC-SHA512 over the raw body, https://waha.devlike.pro/docs/how-to/events/#hmac-authentication.
Evolution API signs no body. It sends headers as configured, or a JWT in place of a header called `jwt_key`
(`webhook.controller.ts` in https://github.com/EvolutionAPI/evolution-api).
"""

import binascii
import hmac
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256, sha512

from edge.webhooks.whatsapp.fields import Json, as_object, decode, number
from edge.webhooks.whatsapp.model import NotJson

TOKEN_LEEWAY_SECONDS = 60
"""How far the clock that wrote a token may be off."""

RETRY_LEEWAY_SECONDS = 25 * 60
"""How long after its end a token still counts: Evolution makes one token for all tries of a webhook, lets it live ten
minutes, and goes on trying for about twenty; a 401 in between would lose the event for good
(https://github.com/EvolutionAPI/evolution-api/blob/main/src/api/integrations/event/webhook/webhook.controller.ts)."""

_MAX_TOKEN_CHARACTERS = 4_096
_CHALLENGE = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def verify(backend: str, headers: Mapping[str, str], raw: bytes, secret: str, now: datetime) -> bool:
    """True if `headers` prove that whoever holds `secret` sent `raw`.

    Header names are lower case, `now` is aware. An empty secret proves nothing, nor does an unknown back end.
    Never raises, whatever the headers hold.
    """
    check = _CHECKS.get(backend)
    if not secret or check is None:
        return False
    return check(headers, raw, _octets(secret), now)


def cloud_handshake(query: Mapping[str, str], verify_token: str) -> str | None:
    """The challenge to answer Meta's subscription request with, or None to refuse it.

    `query` is that of the GET request. Only what could be Meta's is echoed, so that nobody gets to choose a
    page.
    """
    offered = _octets(query.get("hub.verify_token"))
    agreed = hmac.compare_digest(_fingerprint(offered), _fingerprint(_octets(verify_token)))
    challenge = query.get("hub.challenge")
    if (
        not verify_token
        or not agreed
        or query.get("hub.mode") != "subscribe"
        or not isinstance(challenge, str)
    ):
        return None
    return challenge if _CHALLENGE.fullmatch(challenge) else None


def _octets(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value if isinstance(value, bytes) else b""


def _fingerprint(value: bytes) -> bytes:
    # Of equal length for every input, so that comparing does not tell how long the secret is.
    return sha256(value).digest()


def _cloud_api(headers: Mapping[str, str], raw: bytes, secret: bytes, _: datetime) -> bool:
    expected = b"sha256=" + hmac.new(secret, raw, sha256).hexdigest().encode("ascii")
    return hmac.compare_digest(_octets(headers.get("x-hub-signature-256")).strip().lower(), expected)


def _waha(headers: Mapping[str, str], raw: bytes, secret: bytes, _: datetime) -> bool:
    algorithm = _octets(headers.get("x-webhook-hmac-algorithm", "sha512")).strip().lower()
    expected = hmac.new(secret, raw, sha512).hexdigest().encode("ascii")
    genuine = hmac.compare_digest(_octets(headers.get("x-webhook-hmac")).strip().lower(), expected)
    return genuine and algorithm == b"sha512"


def _evolution(headers: Mapping[str, str], _: bytes, secret: bytes, now: datetime) -> bool:
    static = _has_token(headers, "x-webhook-token", secret) | _has_token(headers, "apikey", secret)
    return static | _has_jwt(headers, secret, now)


def _sandbox(headers: Mapping[str, str], _: bytes, secret: bytes, __: datetime) -> bool:
    return _has_token(headers, "x-webhook-token", secret)


def _has_token(headers: Mapping[str, str], header: str, secret: bytes) -> bool:
    return hmac.compare_digest(_fingerprint(_octets(headers.get(header))), _fingerprint(secret))


def _has_jwt(headers: Mapping[str, str], secret: bytes, now: datetime) -> bool:
    scheme, _, token = _octets(headers.get("authorization")).partition(b" ")
    parts = token.strip().split(b".")
    if scheme.lower() != b"bearer" or len(token) > _MAX_TOKEN_CHARACTERS or len(parts) != 3:
        return False
    expected = hmac.new(secret, parts[0] + b"." + parts[1], sha256).digest()
    genuine = hmac.compare_digest(_from_base64(parts[2]), expected)
    header, claims = _json_part(parts[0]), _json_part(parts[1])
    # The algorithm is ours to fix: a token that may choose it can choose none.
    return genuine and header.get("alg") == "HS256" and _claims_hold(claims, now)


def _claims_hold(claims: Json, now: datetime) -> bool:
    issued_at, expires_at = number(claims.get("iat")), number(claims.get("exp"))
    if issued_at is None or expires_at is None:
        return False
    seconds = now.timestamp()
    fresh = issued_at - TOKEN_LEEWAY_SECONDS <= seconds <= expires_at + RETRY_LEEWAY_SECONDS
    return fresh and claims.get("app") == "evolution" and claims.get("action") == "webhook"


def _json_part(encoded: bytes) -> Json:
    try:
        return as_object(decode(_from_base64(encoded)))
    except NotJson:
        return {}


def _from_base64(encoded: bytes) -> bytes:
    try:
        return urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return b""


_CHECKS: Mapping[str, Callable[[Mapping[str, str], bytes, bytes, datetime], bool]] = {
    "cloud_api": _cloud_api,
    "waha": _waha,
    "evolution": _evolution,
    "sandbox": _sandbox,
}
