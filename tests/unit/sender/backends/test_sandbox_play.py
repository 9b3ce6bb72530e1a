"""The sandbox: what each special number plays, without any network."""

import pytest

from sender.backends.sandbox import CODES, SANDBOX, SPECIAL_NUMBERS, external_id, play
from sender.model import AttemptResult, Connection, Outcome, Recipient, UnaddressableError
from sender.sandbox_door import SandboxDoor

CONNECTION = Connection("ins_1", "sandbox", "", "", "")


def attempt(phone: str) -> tuple[float, AttemptResult]:
    request = SANDBOX.build(CONNECTION, Recipient(phone=phone), "hi", "msg_1")
    delay, exchange = play(request)
    return delay, SANDBOX.parse(exchange)


def test_an_ordinary_number_gets_everything() -> None:
    delay, found = attempt("+966500000000")
    assert (delay, found.outcome, found.code) == (0.0, Outcome.ACCEPTED, "sandbox_accepted")
    assert [receipt.kind for receipt in found.receipts] == ["sent", "delivered", "read"]
    assert found.external_message_id == external_id("ins_1", "msg_1")
    assert found.external_message_id.startswith("sbx_")


def test_ids_differ_by_message_and_instance() -> None:
    assert (
        len({external_id("ins_1", "msg_1"), external_id("ins_1", "msg_2"), external_id("ins_2", "msg_1")})
        == 3
    )


def test_0001_has_an_unknown_outcome() -> None:
    delay, found = attempt("+966500000001")
    assert (delay, found.outcome, found.code) == (0.0, Outcome.UNKNOWN, "sandbox_timeout")
    assert found.receipts == ()


def test_0002_is_refused() -> None:
    _, found = attempt("+966500000002")
    assert (found.outcome, found.code) == (Outcome.REJECTED, "sandbox_refused")


def test_0003_is_slow() -> None:
    delay, found = attempt("+966500000003")
    assert (delay, found.outcome) == (6.0, Outcome.ACCEPTED)
    assert [receipt.kind for receipt in found.receipts] == ["sent", "delivered", "read"]


def test_0004_is_accepted_and_then_fails() -> None:
    _, found = attempt("+966500000004")
    assert found.outcome is Outcome.ACCEPTED
    assert [(receipt.kind, receipt.error_code) for receipt in found.receipts] == [
        ("sent", ""),
        ("failed", "sandbox_undeliverable"),
    ]


def test_every_special_number_and_code_has_a_meaning() -> None:
    assert sorted(SPECIAL_NUMBERS) == ["0001", "0002", "0003", "0004"]
    assert all(scene.meaning for scene in SPECIAL_NUMBERS.values())
    assert all(row.explanation for row in CODES.values())


@pytest.mark.parametrize(
    "recipient", [Recipient(lid="123456780002"), Recipient(business_scoped_id="US.123450002")]
)
def test_people_without_a_number_play_too(recipient: Recipient) -> None:
    request = SANDBOX.build(CONNECTION, recipient, "hi", "msg_1")
    assert SANDBOX.parse(play(request)[1]).outcome is Outcome.REJECTED


def test_nobody_cannot_be_written_to() -> None:
    with pytest.raises(UnaddressableError):
        SANDBOX.build(CONNECTION, Recipient(), "hi", "msg_1")


def test_its_state_is_open() -> None:
    _, exchange = play(SANDBOX.build_probe(CONNECTION))
    assert SANDBOX.parse_probe(exchange).state == "open"


async def test_the_door_waits_and_asks_before_it_does() -> None:
    steps: list[str] = []

    async def sleep(seconds: float) -> None:
        steps.append(f"slept {seconds}")

    request = SANDBOX.build(CONNECTION, Recipient(phone="+966500000003"), "hi", "msg_1")
    door = SandboxDoor(sleep)
    in_time = await door.exchange(request, timeout_seconds=30, before_write=lambda: steps.append("asked"))
    assert SANDBOX.parse(in_time).outcome is Outcome.ACCEPTED
    too_late = await door.exchange(request, timeout_seconds=2, before_write=lambda: steps.append("asked"))
    assert SANDBOX.parse(too_late).outcome is Outcome.UNKNOWN
    assert steps == ["asked", "slept 6.0", "asked", "slept 2"]
