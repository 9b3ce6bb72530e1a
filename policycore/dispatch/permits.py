"""Signs permits: the right to attempt one message once, with one recipient and one text, until it is dead."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.sender_wire import to_timestamp
from policycore.ids import RandomBytes, new_id
from policycore.ports import OutboundMessage

SIGNED_PREFIX = b"hubgate-permit-v1\0"
"""Stands before the permit's bytes when they are signed, so that no other signature can pass for a permit."""


class PermitSigner:
    """Signs with one Ed25519 key. `seed` is its 32 secret bytes; `random_bytes` gives as many as it is asked
    for.
    """

    def __init__(self, key_id: str, seed: bytes, random_bytes: RandomBytes) -> None:
        self._key_id = key_id
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._random_bytes = random_bytes

    @property
    def key_id(self) -> str:
        """Which key this is; senders look it up."""
        return self._key_id

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that senders verify with."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign(self, message: OutboundMessage) -> pb.SignedPermit:
        """A fresh permit for this message, serialised and signed."""
        permit = pb.Permit(
            permit_id=new_id("prm_", self._random_bytes),
            message_id=message.message_id,
            account_id=message.account_id,
            instance_id=message.instance_id,
            integration_id=message.integration_id or "",
            person_id=message.person_id,
            recipient_digest=recipient_digest(message.phone, message.lid, message.bsuid),
            content_digest=hashlib.sha256(message.text.encode()).digest(),
            not_after=to_timestamp(message.not_after),
            purpose=message.purpose,
            confirms_opt_out=message.confirms_opt_out,
            decided_at=to_timestamp(message.decided_at),
        ).SerializeToString()
        return pb.SignedPermit(
            permit=permit, signature=self._key.sign(SIGNED_PREFIX + permit), key_id=self._key_id
        )


def recipient_digest(phone: str, lid: str, bsuid: str) -> bytes:
    """SHA-256 over `phone NUL lid NUL business-scoped id`, UTF-8."""
    return hashlib.sha256("\0".join((phone, lid, bsuid)).encode()).digest()
