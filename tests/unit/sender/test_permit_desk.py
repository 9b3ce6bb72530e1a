"""A permit counts once, while it lives, for exactly the order that it was signed for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sender.model import Connection, Order, PermitClaims, Recipient, SignedPermit, WithheldError
from sender.permit import SIGNED_PREFIX, PermitDesk, content_digest, recipient_digest

KEY = Ed25519PrivateKey.generate()
OTHER_KEY = Ed25519PrivateKey.generate()
START = datetime(2026, 1, 1, tzinfo=UTC)
TO = Recipient(phone="+966500000000")
TEXT = "Your ticket has been updated."
RAW = b"the permit's bytes"


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def claims(**words: Any) -> PermitClaims:
    made = PermitClaims(
        permit_id="prm_1",
        message_id="msg_1",
        account_id="acc_1",
        instance_id="ins_1",
        integration_id="int_1",
        person_id="psn_1",
        recipient_digest=recipient_digest(TO),
        content_digest=content_digest(TEXT),
        not_after=START + timedelta(seconds=60),
    )
    return replace(made, **words)


def order(permit: SignedPermit | None = None, **words: Any) -> Order:
    connection = Connection("ins_1", "sandbox", "", "", "")
    made = Order(permit or signed(claims()), TO, TEXT, connection, "msg_1")
    return replace(made, **words)


def signed(words: PermitClaims, key: Ed25519PrivateKey = KEY, prefix: bytes = SIGNED_PREFIX) -> SignedPermit:
    return SignedPermit(RAW, key.sign(prefix + RAW), "k1", words)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(clock: Clock) -> PermitDesk:
    return PermitDesk({"k1": KEY.public_key(), "k2": OTHER_KEY.public_key()}, clock)


def refusal(desk: PermitDesk, wanted: Order) -> str:
    with pytest.raises(WithheldError) as caught:
        desk.claim(wanted)
    return caught.value.code


def test_a_good_permit_counts_once(desk: PermitDesk) -> None:
    assert desk.claim(order()).permit_id == "prm_1"
    assert refusal(desk, order()) == "permit_used"


def test_another_permit_is_another_right(desk: PermitDesk) -> None:
    desk.claim(order())
    assert desk.claim(order(signed(claims(permit_id="prm_2")))).permit_id == "prm_2"


def test_a_permit_given_back_counts_again(desk: PermitDesk) -> None:
    desk.give_back(desk.claim(order()))
    assert desk.claim(order()).permit_id == "prm_1"


@pytest.mark.parametrize(
    ("permit", "code"),
    [
        (replace(signed(claims()), key_id="unknown"), "permit_key_unknown"),
        (replace(signed(claims()), key_id=""), "permit_key_unknown"),
        (replace(signed(claims()), key_id="k2"), "permit_signature_invalid"),
        (signed(claims(), OTHER_KEY), "permit_signature_invalid"),
        (signed(claims(), prefix=b""), "permit_signature_invalid"),
        (signed(claims(), prefix=b"hubgate-permit-v2\0"), "permit_signature_invalid"),
        (replace(signed(claims()), raw=RAW + b"x"), "permit_signature_invalid"),
        (replace(signed(claims()), signature=b""), "permit_signature_invalid"),
        (replace(signed(claims()), signature=b"x" * 64), "permit_signature_invalid"),
        (signed(claims(permit_id="")), "permit_malformed"),
        (signed(claims(instance_id="ins_2")), "permit_wrong_instance"),
        (signed(claims(instance_id="")), "permit_wrong_instance"),
        (signed(claims(recipient_digest=b"")), "permit_wrong_recipient"),
        (signed(claims(content_digest=b"")), "permit_wrong_content"),
        (signed(claims(not_after=START)), "permit_expired"),
        (signed(claims(not_after=START - timedelta(days=1))), "permit_expired"),
    ],
)
def test_permits_that_are_no_good(desk: PermitDesk, permit: SignedPermit, code: str) -> None:
    assert refusal(desk, order(permit)) == code


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"recipient": Recipient(phone="+966500000001")}, "permit_wrong_recipient"),
        ({"recipient": Recipient(lid="966500000000")}, "permit_wrong_recipient"),
        ({"recipient": Recipient(phone="+966500000000", lid="12345")}, "permit_wrong_recipient"),
        ({"text": TEXT + " "}, "permit_wrong_content"),
        ({"text": ""}, "permit_wrong_content"),
        ({"connection": Connection("ins_2", "sandbox", "", "", "")}, "permit_wrong_instance"),
    ],
)
def test_orders_that_the_permit_is_not_for(desk: PermitDesk, words: dict[str, Any], code: str) -> None:
    assert refusal(desk, order(**words)) == code


def test_a_refused_permit_is_not_used_up(desk: PermitDesk) -> None:
    assert refusal(desk, order(text="x")) == "permit_wrong_content"
    assert desk.claim(order()).permit_id == "prm_1"


def test_a_permit_dies_at_not_after(desk: PermitDesk, clock: Clock) -> None:
    taken = desk.claim(order())
    clock.now = START + timedelta(seconds=59.999)
    desk.check_alive(taken)
    clock.now = START + timedelta(seconds=60)
    with pytest.raises(WithheldError):
        desk.check_alive(taken)


def test_a_used_permit_stays_refused_until_it_is_dead_and_then_because_it_is(
    desk: PermitDesk, clock: Clock
) -> None:
    desk.claim(order())
    clock.now = START + timedelta(seconds=59)
    assert refusal(desk, order()) == "permit_used"
    clock.now = START + timedelta(seconds=61)
    assert refusal(desk, order()) == "permit_expired"


def test_dead_permits_are_forgotten(desk: PermitDesk, clock: Clock) -> None:
    for number in range(100):
        desk.claim(order(signed(claims(permit_id=f"prm_{number}"))))
    clock.now = START + timedelta(seconds=61)
    late = claims(permit_id="prm_late", not_after=clock.now + timedelta(seconds=60))
    desk.claim(order(signed(late)))
    assert desk.remembered == 1


def test_digests_keep_the_parts_apart() -> None:
    assert recipient_digest(Recipient(phone="a", lid="b")) != recipient_digest(Recipient(phone="ab"))
    assert recipient_digest(Recipient(lid="a")) != recipient_digest(Recipient(business_scoped_id="a"))
