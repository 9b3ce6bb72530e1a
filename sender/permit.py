"""The right to attempt: checks a permit's signature and words against the order, and lets it count once."""

import hashlib
import heapq
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sender.model import Order, PermitClaims, Recipient, SignedPermit, WithheldError

SIGNED_PREFIX = b"hubgate-permit-v1\0"
"""Stands before the permit's bytes when they are signed, so that no other signature can pass for a permit."""

BATCH_PREFIX = b"hubgate-permits-v1\0"
"""Stands before what is signed for a batch of permits."""

_KEY_UNKNOWN = ("permit_key_unknown", "The permit is signed with a key that is not known here.")
_SIGNATURE_INVALID = ("permit_signature_invalid", "The permit's signature is not valid.")


def recipient_digest(recipient: Recipient) -> bytes:
    """SHA-256 over `phone NUL lid NUL business_scoped_id`."""
    parts = (recipient.phone, recipient.lid, recipient.business_scoped_id)
    return hashlib.sha256("\0".join(parts).encode()).digest()


def content_digest(text: str) -> bytes:
    """SHA-256 over the text, UTF-8."""
    return hashlib.sha256(text.encode()).digest()


def batch_words(raws: Sequence[bytes]) -> bytes:
    """What the signature of a batch covers: the prefix, the number of permits and each one's SHA-256, in order."""
    sha256 = hashlib.sha256
    return BATCH_PREFIX + len(raws).to_bytes(4, "big") + b"".join([sha256(raw).digest() for raw in raws])


class PermitDesk:
    """Takes permits. Remembers the ones it took until they are dead, for this process only."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey], now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._now = now
        self._taken: set[str] = set()
        self._deaths: list[tuple[datetime, str]] = []

    def claim(self, order: Order) -> PermitClaims:
        """The order's permit, now used. Raises `WithheldError` unless it is alive and for just this order."""
        self._verify_signature(order.permit)
        claims = order.permit.claims
        _verify_words(claims, order)
        now = self._now()
        _verify_alive(claims, now)
        self._use(claims, now)
        return claims

    def check_alive(self, claims: PermitClaims) -> datetime:
        """The time now. Raises `WithheldError` from `not_after` on."""
        now = self._now()
        _verify_alive(claims, now)
        return now

    def give_back(self, claims: PermitClaims) -> None:
        """Lets a permit count again. Only for an attempt of which not one byte was written."""
        self._taken.discard(claims.permit_id)

    @property
    def remembered(self) -> int:
        """How many used permits are still remembered."""
        return len(self._taken)

    def _verify_signature(self, permit: SignedPermit) -> None:
        batch = permit.batch
        if batch is None:
            refusal = self._refusal(permit.key_id, permit.signature, SIGNED_PREFIX + permit.raw)
        else:
            if not batch.verified:
                batch.refusal = self._refusal(batch.key_id, batch.signature, batch_words(batch.raws))
                batch.verified = True
            # A batch vouches for the permits in it, each at its place, and for no other.
            refusal = batch.refusal if batch.raws[permit.place] == permit.raw else _SIGNATURE_INVALID
        if refusal is not None:
            raise WithheldError(*refusal)

    def _refusal(self, key_id: str, signature: bytes, words: bytes) -> tuple[str, str] | None:
        """What is wrong with a signature: a code and a sentence, or None."""
        key = self._keys.get(key_id)
        if key is None:
            return _KEY_UNKNOWN
        try:
            key.verify(signature, words)
        except InvalidSignature:
            return _SIGNATURE_INVALID
        return None

    def _use(self, claims: PermitClaims, now: datetime) -> None:
        self._forget_the_dead(now)
        if claims.permit_id in self._taken:
            raise WithheldError("permit_used", "The permit was used before.")
        self._taken.add(claims.permit_id)
        heapq.heappush(self._deaths, (claims.not_after, claims.permit_id))

    def _forget_the_dead(self, now: datetime) -> None:
        while self._deaths and self._deaths[0][0] <= now:
            self._taken.discard(heapq.heappop(self._deaths)[1])


def _verify_alive(claims: PermitClaims, now: datetime) -> None:
    if now >= claims.not_after:
        raise WithheldError("permit_expired", "The permit is dead.")


def _verify_words(claims: PermitClaims, order: Order) -> None:
    if not claims.permit_id:
        raise WithheldError("permit_malformed", "The permit has no id.")
    if not claims.instance_id or claims.instance_id != order.connection.instance_id:
        raise WithheldError("permit_wrong_instance", "The permit is for another instance.")
    if claims.recipient_digest != recipient_digest(order.recipient):
        raise WithheldError("permit_wrong_recipient", "The permit is for another recipient.")
    if claims.content_digest != content_digest(order.text):
        raise WithheldError("permit_wrong_content", "The permit is for another text.")
