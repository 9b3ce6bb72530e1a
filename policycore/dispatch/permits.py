"""Permits: the right to attempt one message once, with one recipient and one text, until it is dead.

A permit is made for each message and signed together with those it travels with: a signature for each would cost more
than everything else that is done for it.
"""

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.sender_wire import fill_timestamp
from policycore.ids import RandomBytes, new_id
from policycore.ports import OutboundMessage

BATCH_PREFIX = b"hubgate-permits-v1\0"
"""Stands before what is signed for a batch, so that no other signature can pass for one."""

_PERMITS_PER_STEM = 1 << 16


class PermitSigner:
    """Signs with one Ed25519 key. `seed` is its 32 secret bytes; `random_bytes` gives as many as it is asked
    for.
    """

    def __init__(self, key_id: str, seed: bytes, random_bytes: RandomBytes) -> None:
        self._key_id = key_id
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._random_bytes = random_bytes
        self._stem = ""
        self._made = 0

    @property
    def key_id(self) -> str:
        """Which key this is; senders look it up."""
        return self._key_id

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that senders verify with."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def prepare(self, message: OutboundMessage) -> bytes:
        """A fresh permit for this message, serialised and not yet signed. Raises ValueError for text that is no
        UTF-8.
        """
        permit = pb.Permit()
        permit.permit_id = self._next_id()
        permit.message_id = message.message_id
        permit.account_id = message.account_id
        permit.instance_id = message.instance_id
        if message.integration_id:
            permit.integration_id = message.integration_id
        permit.person_id = message.person_id
        permit.recipient_digest = recipient_digest(message.phone, message.lid, message.bsuid)
        permit.content_digest = hashlib.sha256(message.text.encode()).digest()
        fill_timestamp(permit.not_after, message.not_after)
        permit.purpose = message.purpose
        permit.confirms_opt_out = message.confirms_opt_out
        fill_timestamp(permit.decided_at, message.decided_at)
        return permit.SerializeToString()

    def sign(self, request: pb.DeliverStreamRequest, permits: Sequence[bytes]) -> None:
        """Signs the request's permits together. `permits` are the permits of its items, in their order."""
        request.permits_signature = self._key.sign(batch_words(permits))
        request.permits_key_id = self._key_id

    def _next_id(self) -> str:
        """100 random bits that many permits share, and a number."""
        number = self._made % _PERMITS_PER_STEM
        if not number:
            self._stem = new_id("prm_", self._random_bytes)
        self._made += 1
        return f"{self._stem}{number:04x}"


def batch_words(permits: Sequence[bytes]) -> bytes:
    """What the signature of a batch covers: the prefix, the number of permits and each one's SHA-256, in order."""
    sha256 = hashlib.sha256
    return (
        BATCH_PREFIX + len(permits).to_bytes(4, "big") + b"".join([sha256(raw).digest() for raw in permits])
    )


def recipient_digest(phone: str, lid: str, bsuid: str) -> bytes:
    """SHA-256 over `phone NUL lid NUL business-scoped id`, UTF-8."""
    return hashlib.sha256(f"{phone}\0{lid}\0{bsuid}".encode()).digest()
