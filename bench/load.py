"""The load generator, a process of its own: keeps connections busy, times every answer, and checks them all.

Reads its plan as JSON on standard input. Prints `begin` and `end` around the measured time, then the result.
"""

import asyncio
import itertools
import json
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import httptools
import uvloop

from bench.requests import Door, Request, replies

LAST_ANSWER_SECONDS = 10.0
SHOWN_ERRORS = 5


@dataclass(slots=True)
class Answer:
    """One answer: which request's, how long it took, whether it came within the measured time, what it said."""

    token: str
    seconds: float
    measured: bool
    status: int
    body: bytes


@dataclass(slots=True)
class Result:
    """What one drive came to. Latencies in milliseconds, of the answers within the measured time."""

    accepted: int = 0
    seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    checked: int = 0
    errors: int = 0
    examples: list[str] = field(default_factory=list)

    def wrong(self, what: str) -> None:
        """Counts an error, and keeps the first few."""
        self.errors += 1
        if len(self.examples) < SHOWN_ERRORS:
            self.examples.append(what)


class Caller(asyncio.Protocol):
    """One connection: the next request leaves when the last answer is whole."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._request: Request | None = None
        self._sent_at = 0.0
        self._body = bytearray()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._next()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._request is not None:
            self._run.lost.append(self._request.token)
        if not self.finished.done():
            self.finished.set_result(None)

    def on_body(self, body: bytes) -> None:
        """A part of the answer's body."""
        self._body += body

    def on_message_complete(self) -> None:
        """An answer is whole."""
        now = time.perf_counter()
        request, self._request = self._request, None
        if request is not None:
            measured = self._run.began_at <= self._sent_at and now <= self._run.ends_at
            status = int(self._parser.get_status_code())
            self._run.answers.append(
                Answer(request.token, now - self._sent_at, measured, status, bytes(self._body))
            )
        self._body.clear()
        # The parser may not be asked to begin another message inside its own callback.
        self._parser = httptools.HttpResponseParser(self)
        self._next()

    def _next(self) -> None:
        request = self._run.take()
        if self._transport is None or request is None:
            if self._transport is not None:
                self._transport.close()
            return
        self._request = request
        self._sent_at = time.perf_counter()
        self._transport.write(request.raw)


class Run:
    """One drive: requests made beforehand, as many callers as connections, a warm-up and a measured time."""

    def __init__(self, plan: dict[str, Any], requests: Iterator[Request]) -> None:
        self._plan = plan
        self._requests = requests
        self.answers: list[Answer] = []
        self.lost: list[str] = []
        self.began_at = float("inf")
        self.ends_at = float("inf")

    def take(self) -> Request | None:
        """The next request; None when the time is over or the bound on their number is reached."""
        if time.perf_counter() >= self.ends_at:
            return None
        return next(self._requests, None)

    async def drive(self) -> float:
        """Runs; returns the measured seconds."""
        loop = asyncio.get_running_loop()
        callers: list[Caller] = []
        addresses = itertools.cycle(self._plan["addresses"])
        for host, port in itertools.islice(addresses, self._plan["connections"]):
            _, caller = await loop.create_connection(lambda: Caller(self), host, port)
            callers.append(caller)
        await asyncio.sleep(self._plan["warm_up_seconds"])
        seconds: float = self._plan["seconds"]
        self.began_at = time.perf_counter()
        self.ends_at = self.began_at + seconds
        print("begin", flush=True)
        await asyncio.sleep(seconds)
        print("end", flush=True)
        finished = [caller.finished for caller in callers]
        await asyncio.wait(finished, timeout=LAST_ANSWER_SECONDS)
        return seconds


def _ids_answered(run: Run, result: Result) -> dict[str, str]:
    """Checks each answer by itself; returns the instance's message id by token."""
    ids: dict[str, str] = {}
    for answer in run.answers:
        try:
            body = json.loads(answer.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            body = {}
        sent = answer.status == 200 and body.get("success") is True and body.get("status") == "sent"
        if sent and body.get("external_message_id"):
            ids[answer.token] = body["external_message_id"]
        else:
            result.wrong(f"{answer.token}: {answer.status} {answer.body[:200]!r}")
    for token in run.lost:
        result.wrong(f"{token}: the connection was closed before the answer")
    return ids


def _check_arrivals(ids: dict[str, str], arrived: dict[str, list[str]], result: Result) -> None:
    """Each message that was answered as sent arrived once, under the id of the answer, and nothing else did."""
    for token, message_id in ids.items():
        if arrived.get(token) != [message_id]:
            result.wrong(f"{token}: answered as {message_id}, arrived as {arrived.get(token)}")
    for token in arrived.keys() - ids.keys():
        result.wrong(f"{token}: arrived, and was not answered as sent")
    for message_id, count in Counter(itertools.chain.from_iterable(arrived.values())).items():
        if count > 1:
            result.wrong(f"{message_id}: given to {count} messages")


def _arrived(url: str) -> dict[str, list[str]]:
    with urllib.request.urlopen(url, timeout=30) as answer:
        found: dict[str, list[str]] = json.load(answer)
    return found


def run_plan(plan: dict[str, Any]) -> Result:
    """Drives and checks."""
    doors = [Door(door["path"], door["secret"], tuple(door["phones"])) for door in plan["doors"]]
    host, port = plan["addresses"][0]
    endless = replies(doors, plan["label"], f"{host}:{port}")
    # Made beforehand, so that signing them costs the gateway no processor time; a bound on the run as well.
    made = list(itertools.islice(endless, plan["most_requests"]))
    run = Run(plan, iter(made))
    result = Result(seconds=uvloop.run(run.drive()))
    measured = sorted(answer.seconds for answer in run.answers if answer.measured)
    result.accepted, result.checked = len(measured), len(run.answers)
    if measured:
        result.p50_ms = measured[len(measured) // 2] * 1000
        result.p99_ms = measured[min(len(measured) - 1, int(len(measured) * 0.99))] * 1000
    else:
        result.wrong("no answer came within the measured time")
    if len(run.answers) + len(run.lost) >= len(made):
        result.wrong(f"the drive ran out of its {len(made)} requests")
    _check_arrivals(_ids_answered(run, result), _arrived(plan["arrivals_url"]), result)
    return result


def main() -> None:
    """Runs the plan on standard input."""
    result = run_plan(json.load(sys.stdin))
    print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main()
