"""One event, posted: what is asked of the door, and what stays inside."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sender.destinations.registry import DESTINATIONS
from sender.destinations.signed_event import Event
from sender.model import Exchange, HttpAnswer, HttpRequest, PostOutcome
from sender.post import Posting
from sender.record import Recorder
from sender.turns import Turns

EVENT = Event("dlv_1", "https://pbx.example.com/in", "message.received", b"{}", "whsec")


class Bench:
    """A posting with a door under the test's hand."""

    def __init__(self) -> None:
        self.asked: list[HttpRequest] = []
        self.seconds: list[float] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.logged: list[dict[str, Any]] = []
        self.registry = CollectorRegistry()
        self.posting = Posting(
            destinations=DESTINATIONS,
            door=self,
            turns=Turns(4, 1),
            recorder=Recorder(self.registry, self),
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
            monotonic=lambda: 5.0,
        )

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        before_write()
        self.asked.append(request)
        self.seconds.append(timeout_seconds)
        await self.go_on.wait()
        return HttpAnswer(200, {}, b"")

    def debug(self, event: str, **words: Any) -> None:
        self.logged.append(words)

    def posts(self, kind: str, outcome: str) -> float | None:
        return self.registry.get_sample_value(
            "hubgate_sender_posts_total", {"kind": kind, "outcome": outcome}
        )


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_an_event_is_posted_once_and_counted(bench: Bench) -> None:
    found = await bench.posting.post("threecx_json", EVENT)
    assert (found.outcome, len(bench.asked), bench.seconds) == (PostOutcome.TAKEN, 1, [15.0])
    assert bench.posts("threecx_json", "TAKEN") == 1.0
    assert bench.logged[0]["delivery_id"] == "dlv_1"
    assert "whsec" not in repr(bench.logged) + repr(EVENT)


async def test_the_callers_time_is_kept(bench: Bench) -> None:
    await bench.posting.post("customer_webhook", EVENT, 2.0)
    await bench.posting.post("customer_webhook", EVENT, 200.0)
    assert bench.seconds == [2.0, 15.0]


async def test_what_stays_inside_asks_no_door(bench: Bench) -> None:
    assert (await bench.posting.post("sandbox_inbox", EVENT)).outcome is PostOutcome.TAKEN
    assert (await bench.posting.post("fax", EVENT)).outcome is PostOutcome.BLOCKED
    assert bench.asked == []


async def test_a_host_that_is_slow_holds_up_itself_only(bench: Bench) -> None:
    bench.go_on.clear()
    slow = asyncio.create_task(bench.posting.post("threecx_json", EVENT))
    await asyncio.sleep(0)
    crowded = await bench.posting.post("threecx_json", EVENT, 0.01)
    assert crowded.outcome is PostOutcome.RETRY
    assert len(bench.asked) == 1
    bench.go_on.set()
    other = Event("dlv_2", "https://other.example.com/", "message.received", b"{}", "whsec")
    assert (await bench.posting.post("threecx_json", other, 0.5)).outcome is PostOutcome.TAKEN
    assert (await slow).outcome is PostOutcome.TAKEN


async def test_a_url_that_cannot_be_read_is_left_to_the_door(bench: Bench) -> None:
    odd = Event("dlv_3", "https://[::1", "message.received", b"{}", "whsec")
    await bench.posting.post("threecx_json", odd)
    assert bench.asked[0].url == "https://[::1"
