"""One attempt, step by step: what is asked when, and what an answer means if a step says no."""

import asyncio
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry

from sender.backends.registry import BACKENDS
from sender.deliver import Delivery, Route
from sender.guard import Guard, GuardEntry
from sender.model import (
    AttemptResult,
    Connection,
    Consequence,
    Exchange,
    FailureKind,
    GuardScope,
    HttpAnswer,
    HttpRequest,
    Order,
    Outcome,
    PermitClaims,
    Receipt,
    Recipient,
    SignedPermit,
    TransportFailure,
)
from sender.permit import SIGNED_PREFIX, PermitDesk, content_digest, recipient_digest
from sender.record import Recorder
from sender.turns import Turns

KEY = Ed25519PrivateKey.generate()
START = datetime(2026, 1, 1, tzinfo=UTC)
SENT = HttpAnswer(201, {}, b'{"key":{"id":"3EB0"}}')


class Bench:
    """A delivery with every part under the test's hand."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.asked: list[HttpRequest] = []
        self.answer: Exchange = SENT
        self.on_connect: Callable[[], Any] = lambda: None
        self.on_write: Callable[[], Any] = lambda: None
        self.logged: list[dict[str, Any]] = []
        self.routes = {"evolution": Route(BACKENDS["evolution"], self)}
        self.guard = Guard(self.now, self.monotonic)
        self.guard.hear("core", 1, [], snapshot=True)
        self.delivery = Delivery(
            permits=PermitDesk({"k1": KEY.public_key()}, self.now),
            guard=self.guard,
            routes=self.routes,
            turns=Turns(4, 2),
            recorder=Recorder(CollectorRegistry(), self),
            monotonic=self.monotonic,
        )

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        self.on_connect()
        before_write()
        self.asked.append(request)
        self.timeout_seconds = timeout_seconds
        written = self.on_write()
        if asyncio.iscoroutine(written):
            await written
        return self.answer

    def info(self, event: str, **words: Any) -> None:
        self.logged.append(words)

    debug = info
    exception = info


@pytest.fixture
def bench() -> Bench:
    return Bench()


def order(permit_id: str = "prm_1", **words: Any) -> Order:
    to = Recipient(phone="+966500000000")
    claims = PermitClaims(
        permit_id,
        "msg_1",
        "acc_1",
        "ins_1",
        "int_1",
        "psn_1",
        recipient_digest(to),
        content_digest("hi"),
        START + timedelta(seconds=160),
    )
    permit = SignedPermit(b"raw", KEY.sign(SIGNED_PREFIX + b"raw"), "k1", claims)
    connection = Connection("ins_1", "evolution", "https://evo.example.com", "acme", "key")
    return replace(Order(permit, to, "hi", connection, "msg_1"), **words)


async def test_an_accepted_message(bench: Bench) -> None:
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.external_message_id) == (Outcome.ACCEPTED, "3EB0")
    assert found.attempted_at == bench.now()
    assert len(bench.asked) == 1
    assert bench.timeout_seconds == 30.0


async def test_a_used_permit_is_not_attempted_again(bench: Bench) -> None:
    await bench.delivery.deliver(order())
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.code) == (Outcome.NOT_ATTEMPTED, "permit_used")
    assert found.attempted_at is None
    assert len(bench.asked) == 1


async def test_a_message_that_was_refused_has_used_its_permit(bench: Bench) -> None:
    bench.answer = TransportFailure(FailureKind.CONNECT_REFUSED, False)
    assert (await bench.delivery.deliver(order())).outcome is Outcome.REJECTED
    bench.answer = TransportFailure(FailureKind.TIMED_OUT, True)
    assert (await bench.delivery.deliver(order("prm_2"))).outcome is Outcome.UNKNOWN
    assert (await bench.delivery.deliver(order("prm_2"))).code == "permit_used"


async def test_the_guard_is_asked_before_anything_is_connected(bench: Bench) -> None:
    bench.guard.hear("core", 2, [GuardEntry(GuardScope.PERSON, "psn_1", opt_out=True)], snapshot=True)
    bench.on_connect = lambda: pytest.fail("the door was opened")
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.code) == (Outcome.NOT_ATTEMPTED, "guarded_person")


async def test_the_guard_is_asked_again_just_before_writing(bench: Bench) -> None:
    entry = GuardEntry(GuardScope.ACCOUNT, "acc_1")
    bench.on_connect = lambda: bench.guard.hear("core", 2, [entry], snapshot=True)
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.code) == (Outcome.NOT_ATTEMPTED, "guarded_account")
    assert bench.asked == []


async def test_a_permit_that_dies_while_connecting_is_not_written(bench: Bench) -> None:
    def late() -> None:
        bench.seconds = 160.0
        bench.guard.hear("core", 2, [], snapshot=True)

    bench.on_connect = late
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.code) == (Outcome.NOT_ATTEMPTED, "permit_expired")
    assert bench.asked == []


async def test_what_was_withheld_may_be_tried_again(bench: Bench) -> None:
    bench.guard.hear("core", 2, [GuardEntry(GuardScope.PLATFORM, "")], snapshot=True)
    assert (await bench.delivery.deliver(order())).code == "guarded_platform"
    bench.guard.hear("core", 3, [], snapshot=True)
    assert (await bench.delivery.deliver(order())).outcome is Outcome.ACCEPTED


async def test_silence_withholds(bench: Bench) -> None:
    bench.seconds += 1.5
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.code) == (Outcome.NOT_ATTEMPTED, "guard_silent")


async def test_an_unknown_back_end_is_refused(bench: Bench) -> None:
    connection = Connection("ins_1", "telegram", "", "", "")
    found = await bench.delivery.deliver(order(connection=connection))
    assert (found.outcome, found.code) == (Outcome.REJECTED, "telegram_unaddressable")


async def test_a_base_url_that_is_none_is_refused(bench: Bench) -> None:
    connection = Connection("ins_1", "evolution", "evo", "acme", "key")
    found = await bench.delivery.deliver(order(connection=connection))
    assert (found.outcome, found.code) == (Outcome.REJECTED, "evolution_unaddressable")


async def test_an_error_of_our_own_before_writing(bench: Bench) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    bench.on_connect = broken
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.code) == (Outcome.NOT_ATTEMPTED, "sender_fault")


async def test_an_error_of_our_own_after_writing_leaves_the_outcome_open(bench: Bench) -> None:
    def broken() -> None:
        raise RuntimeError("broken")

    bench.on_write = broken
    found = await bench.delivery.deliver(order())
    assert (found.outcome, found.code) == (Outcome.UNKNOWN, "sender_fault")
    assert (await bench.delivery.deliver(order())).code == "permit_used"


async def test_a_sender_that_is_about_to_stop_takes_nothing(bench: Bench) -> None:
    bench.delivery.close()
    assert (await bench.delivery.deliver(order())).code == "sender_draining"


async def test_idle_waits_for_what_is_under_way(bench: Bench) -> None:
    go_on = asyncio.Event()
    bench.on_write = go_on.wait
    attempt = asyncio.create_task(bench.delivery.deliver(order()))
    await asyncio.sleep(0)
    await bench.delivery.idle(0.01)
    assert bench.delivery.under_way == 1
    go_on.set()
    await bench.delivery.idle(1)
    assert bench.delivery.under_way == 0
    assert (await attempt).outcome is Outcome.ACCEPTED


async def test_the_callers_time_is_kept(bench: Bench) -> None:
    await bench.delivery.deliver(order(), 3.0)
    assert bench.timeout_seconds == 3.0
    found = await bench.delivery.deliver(order("prm_2"), 0.0)
    assert (found.outcome, found.code) == (Outcome.NOT_ATTEMPTED, "sender_overloaded")


async def test_a_cancelled_attempt_is_cancelled(bench: Bench) -> None:
    bench.on_write = asyncio.Event().wait
    attempt = asyncio.create_task(bench.delivery.deliver(order()))
    await asyncio.sleep(0)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert bench.delivery.under_way == 0


async def test_logs_hold_no_text_no_token_and_no_number(bench: Bench) -> None:
    await bench.delivery.deliver(order())
    assert bench.logged[0]["outcome"] == "ACCEPTED"
    shown = repr(bench.logged) + repr(order())
    for secret in ("'hi'", "'key'"):
        assert secret not in shown
    assert "966500000000" not in repr(bench.logged)


async def test_a_probe_of_an_unknown_back_end(bench: Bench) -> None:
    found = await bench.delivery.probe(Connection("ins_1", "telegram", "", "", ""))
    assert (found.state, found.reason) == ("", "unaddressable")


async def test_a_probe_needs_no_permit_and_no_guard(bench: Bench) -> None:
    bench.seconds += 60
    bench.answer = HttpAnswer(200, {}, b'{"instance":{"state":"open"}}')
    assert (await bench.delivery.probe(order().connection)).state == "open"


async def test_everything_a_back_end_says_is_handed_on(bench: Bench) -> None:
    said = AttemptResult(
        Outcome.REJECTED, "x", "Why.", "3EB0", Consequence.HOLD_PAIR, 1.5, 418, (Receipt("sent", 0.5),)
    )
    assert len(fields(said)) == 9, "a new field must be handed on too"
    backend = replace(BACKENDS["evolution"], parse=lambda exchange: said)
    bench.routes["evolution"] = Route(backend, bench)
    assert await bench.delivery.deliver(order()) == replace(said, attempted_at=bench.now())
    assert said.attempted_at is None


UNAUTHORIZED = HttpAnswer(401, {}, b'{"status":401,"error":"Unauthorized"}')


def rotated(seconds_left: float) -> Order:
    """An order whose instance's token was changed; the one before counts for so long after the attempt's time."""
    until = START + timedelta(seconds=100 + seconds_left)
    connection = Connection("ins_1", "evolution", "https://evo.example.com", "acme", "key", "former", until)
    return order(connection=connection)


async def test_a_token_that_is_turned_away_gives_way_to_the_one_before(bench: Bench) -> None:
    bench.answer = UNAUTHORIZED

    def accept_former() -> None:
        bench.answer = SENT if bench.asked[-1].headers["apikey"] == "former" else UNAUTHORIZED

    bench.on_write = accept_former
    found = await bench.delivery.deliver(rotated(1))
    assert (found.outcome, found.external_message_id) == (Outcome.ACCEPTED, "3EB0")
    assert found.consequence is Consequence.NONE
    assert [each.headers["apikey"] for each in bench.asked] == ["key", "former"]


async def test_the_token_before_does_not_count_for_ever(bench: Bench) -> None:
    bench.answer = UNAUTHORIZED
    found = await bench.delivery.deliver(rotated(0))
    assert (found.outcome, found.code) == (Outcome.REJECTED, "evolution_unauthorized")
    assert len(bench.asked) == 1


async def test_only_what_certainly_sent_nothing_is_asked_again(bench: Bench) -> None:
    for answer in (
        HttpAnswer(500, {}, b""),
        TransportFailure(FailureKind.TIMED_OUT, bytes_written=True),
        SENT,
    ):
        bench.answer, bench.asked = answer, []
        await bench.delivery.deliver(replace_permit(rotated(60), str(id(answer))))
        assert len(bench.asked) == 1


def replace_permit(found: Order, permit_id: str) -> Order:
    """The same order under a permit of its own."""
    return replace(found, permit=order(permit_id).permit)


async def test_the_guard_is_asked_before_the_second_token_as_well(bench: Bench) -> None:
    bench.answer = UNAUTHORIZED
    bench.on_write = lambda: bench.guard.hear(
        "core", 2, [GuardEntry(GuardScope.INSTANCE, "ins_1", False, None)], snapshot=True
    )
    found = await bench.delivery.deliver(rotated(60))
    assert [each.headers["apikey"] for each in bench.asked] == ["key"]
    assert found.outcome is Outcome.NOT_ATTEMPTED
