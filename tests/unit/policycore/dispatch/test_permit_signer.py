"""Permits: what is in them and what is signed."""

import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec.structs import replace

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.permits import PermitSigner
from policycore.ports import OutboundMessage

MESSAGE = OutboundMessage(
    message_id="msg_1",
    account_id="acc_1",
    instance_id="ins_1",
    integration_id=None,
    person_id="psn_1",
    phone="+966500000000",
    lid="123",
    bsuid="",
    text="مرحبا",
    purpose="support",
    decided_at=datetime(2026, 5, 8, 10, 0, 0, 250_000, tzinfo=UTC),
    not_after=datetime(2026, 5, 8, 10, 2, 0, tzinfo=UTC),
    send_after=datetime(2026, 5, 8, 10, 0, 0, tzinfo=UTC),
    confirms_opt_out=True,
)
SIGNER = PermitSigner("key-1", bytes(range(32)), lambda count: b"\7" * count)


def test_everything_a_sender_checks_is_in_the_permit() -> None:
    permit = pb.Permit.FromString(SIGNER.prepare(MESSAGE))
    assert permit.permit_id.startswith("prm_")
    assert len(permit.permit_id) > 20
    assert (permit.message_id, permit.account_id, permit.instance_id) == ("msg_1", "acc_1", "ins_1")
    assert (permit.integration_id, permit.person_id, permit.purpose) == ("", "psn_1", "support")
    assert permit.recipient_digest == hashlib.sha256(b"+966500000000\x00123\x00").digest()
    assert permit.content_digest == hashlib.sha256("مرحبا".encode()).digest()
    assert permit.not_after.ToDatetime(UTC) == MESSAGE.not_after
    assert permit.decided_at.ToDatetime(UTC) == MESSAGE.decided_at
    assert permit.confirms_opt_out


def test_a_batch_has_one_signature_over_the_prefix_the_number_and_every_permits_digest() -> None:
    permits = [SIGNER.prepare(MESSAGE) for _ in range(3)]
    request = pb.DeliverStreamRequest()
    SIGNER.sign(request, permits)
    assert request.permits_key_id == SIGNER.key_id == "key-1"
    key = Ed25519PublicKey.from_public_bytes(SIGNER.public_key)
    digests = b"".join(hashlib.sha256(permit).digest() for permit in permits)
    key.verify(request.permits_signature, b"hubgate-permits-v1\x00" + b"\0\0\0\3" + digests)
    with pytest.raises(InvalidSignature):
        key.verify(request.permits_signature, digests)


def test_every_permit_has_its_own_id() -> None:
    counter = iter(range(100))
    signer = PermitSigner("key-1", bytes(32), lambda count: bytes([next(counter)] * count))
    ids = {pb.Permit.FromString(signer.prepare(MESSAGE)).permit_id for _ in range(5)}
    assert len(ids) == 5


def test_ids_stay_apart_when_their_numbers_begin_anew() -> None:
    counter = iter(range(100))
    signer = PermitSigner("key-1", bytes(32), lambda count: bytes([next(counter)] * count))
    many = 1 << 16
    ids = [signer._next_id() for _ in range(many + 2)]
    assert len(set(ids)) == many + 2
    assert next(counter) == 2


def test_a_text_that_is_no_utf_8_has_no_permit() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        SIGNER.prepare(replace(MESSAGE, text="\ud800"))


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        PermitSigner("key-1", b"short", bytes)
