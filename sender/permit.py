"""The right to attempt: checks a permit's signature and words against the order, and lets it count once."""

import hashlib
import heapq
from collections.abc import Callable, Mapping
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sender.model import Order, PermitClaims, Recipient, SignedPermit, WithheldError

SIGNED_PREFIX = b"hubgate-permit-v1\0"
"""Stands before the permit's bytes when they are signed, so that no other signature can pass for a permit."""


def recipient_digest(recipient: Recipient) -> bytes:
    """SHA-256 over `phone NUL lid NUL business_scoped_id`."""
    parts = (recipient.phone, recipient.lid, recipient.business_scoped_id)
    return hashlib.sha256("\0".join(parts).encode()).digest()


def content_digest(text: str) -> bytes:
    """SHA-256 over the text, UTF-8."""
    return hashlib.sha256(text.encode()).digest()


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
        self._verify_words(claims, order)
        self.check_alive(claims)
        self._use(claims)
        return claims

    def check_alive(self, claims: PermitClaims) -> None:
        """Raises `WithheldError` from `not_after` on."""
        if self._now() >= claims.not_after:
            raise WithheldError("permit_expired", "The permit is dead.")

    def give_back(self, claims: PermitClaims) -> None:
        """Lets a permit count again. Only for an attempt of which not one byte was written."""
        self._taken.discard(claims.permit_id)

    @property
    def remembered(self) -> int:
        """How many used permits are still remembered."""
        return len(self._taken)

    def _verify_signature(self, permit: SignedPermit) -> None:
        key = self._keys.get(permit.key_id)
        if key is None:
            raise WithheldError(
                "permit_key_unknown", "The permit is signed with a key that is not known here."
            )
        try:
            key.verify(permit.signature, SIGNED_PREFIX + permit.raw)
        except InvalidSignature as error:
            raise WithheldError("permit_signature_invalid", "The permit's signature is not valid.") from error

    @staticmethod
    def _verify_words(claims: PermitClaims, order: Order) -> None:
        if not claims.permit_id:
            raise WithheldError("permit_malformed", "The permit has no id.")
        if not claims.instance_id or claims.instance_id != order.connection.instance_id:
            raise WithheldError("permit_wrong_instance", "The permit is for another instance.")
        if claims.recipient_digest != recipient_digest(order.recipient):
            raise WithheldError("permit_wrong_recipient", "The permit is for another recipient.")
        if claims.content_digest != content_digest(order.text):
            raise WithheldError("permit_wrong_content", "The permit is for another text.")

    def _use(self, claims: PermitClaims) -> None:
        self._forget_the_dead()
        if claims.permit_id in self._taken:
            raise WithheldError("permit_used", "The permit was used before.")
        self._taken.add(claims.permit_id)
        heapq.heappush(self._deaths, (claims.not_after, claims.permit_id))

    def _forget_the_dead(self) -> None:
        now = self._now()
        while self._deaths and self._deaths[0][0] <= now:
            self._taken.discard(heapq.heappop(self._deaths)[1])
