"""`python -m bench.neighbours`: what one customer's trouble costs the others, on the production shape.

Two comparisons, each in interleaved rounds, so that noise meets both sides alike:

- *a dead endpoint*: from a customer's message to its event at a good endpoint, while the same messages also go to
  another endpoint that is good (before), or that never answers and has a long backlog (after);
- *a hot account*: how long a calm account's reply takes, while another one asks for as much as the gateway can do
  (before), or for ten times that (after).

Prints p50 and p99 of both sides and the ratio of the p99s: the median over the rounds. A target missed is shown and is
no failure, for it depends on the machine.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests"), str(_ROOT / "proto/gen")]

import httpx  # noqa: E402 - after the paths it is found through
from sqlalchemy import text  # noqa: E402

from bench.customers import Customer, prepare_customer  # noqa: E402
from bench.endpoint import Endpoint  # noqa: E402
from bench.requests import replies  # noqa: E402
from bench.shapes import environment, running_instance  # noqa: E402
from policycore.store.engine import Database, open_database  # noqa: E402
from servers.postgres import running_postgres  # noqa: E402
from servers.redis import running_redis  # noqa: E402
from support.gateway import Gateway  # noqa: E402

BACKLOG = 50_000
EVENTS_PER_SECOND = 40
CALM_PER_SECOND = 20
SATURATING = 128
TEN_TIMES = 1_280
_PACE = {"HUBGATE_REQUESTS_WAITING_PER_ACCOUNT": "150"}
"""One account may have fewer waiting than ten times what saturates: so the excess is refused, not only queued."""

_SETTLE_SECONDS = 0.5
_CALM_SECONDS = 2.0
"""Between writing or removing a backlog and measuring: the writing itself is not what is measured."""
_GATHER_SECONDS = 10.0


@dataclass
class Side:
    """One side of a comparison: latencies in seconds by round, and what else is worth a word."""

    rounds: list[list[float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def percentile(self, percent: float, number: int | None = None) -> float:
        """In milliseconds, over one round or all."""
        chosen = self.rounds if number is None else [self.rounds[number]]
        found = sorted(each for one in chosen for each in one)
        return found[min(len(found) - 1, int(len(found) * percent / 100))] * 1000


@dataclass
class Field:
    """What is being measured on: the gateway, its customers, its database."""

    gateway: Gateway
    database: Database
    client: httpx.AsyncClient
    good: Endpoint
    well: Customer
    ill: Customer
    calm: Customer
    hot: Customer


async def _post_events(field: Field, customer: Customer, seconds: float, label: str) -> list[float]:
    """Has persons write at a fixed rate; returns how long each message took to the good endpoint."""
    sent: dict[str, float] = {}
    posts: list[asyncio.Task[Any]] = []
    for number in range(int(seconds * EVENTS_PER_SECOND)):
        message_id = f"{label}-{number}"
        path, body = customer.inbound(number % len(customer.phones), message_id)
        sent[message_id] = time.perf_counter()
        posts.append(asyncio.create_task(field.client.post(path, content=body, headers=customer.headers)))
        await asyncio.sleep(1 / EVENTS_PER_SECOND)
    for answer in await asyncio.gather(*posts):
        answer.raise_for_status()
    await field.good.has(sent.keys(), _GATHER_SECONDS)
    missing = sent.keys() - field.good.arrived.keys()
    if missing:
        raise RuntimeError(f"{len(missing)} of {len(sent)} events did not reach the good endpoint")
    return [field.good.arrived[each] - at for each, at in sent.items()]


async def _backlog(field: Field, rows: int) -> None:
    """Leaves so many rows waiting for the dead endpoint, of a thousand persons; 0 takes them all away."""
    async with field.database.transaction() as connection:
        if not rows:
            await connection.execute(
                text("DELETE FROM outbox WHERE webhook_id = :id"), {"id": field.ill.webhook_id}
            )
            return
        await connection.execute(
            text(
                "INSERT INTO outbox (id, account_id, webhook_id, person_id, event_name, body, state,"
                " next_attempt_at, created_at) SELECT 'dlv_' || :label || n, :account, :webhook,"
                " 'psn_' || (n % 1000), 'message.received', '{}', 'pending', 0,"
                " (extract(epoch FROM now()) * 1000000)::bigint FROM generate_series(1, :rows) AS n"
            ),
            {
                "label": str(time.monotonic_ns()),
                "account": field.ill.account_id,
                "webhook": field.ill.webhook_id,
                "rows": rows,
            },
        )


async def _dead_endpoint(field: Field, number: int, seconds: float, before: Side, after: Side) -> None:
    await _backlog(field, 0)
    await asyncio.sleep(_CALM_SECONDS)
    before.rounds.append(await _post_events(field, field.well, seconds, f"well-{number}"))
    await _backlog(field, BACKLOG)
    await asyncio.sleep(_CALM_SECONDS)
    after.rounds.append(await _post_events(field, field.ill, seconds, f"ill-{number}"))
    await _backlog(field, 0)


async def _calm_replies(field: Field, seconds: float, label: str) -> list[float]:
    """Replies at a fixed rate; returns how long each answer took. Raises if one is anything but accepted."""
    host = field.gateway.base_url.removeprefix("http://")
    made = replies([field.calm.door], label, host)
    found: list[float] = []

    async def one(raw: bytes) -> None:
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        headers = {name: value for name, value in lines if name not in ("Host", "Content-Length")}
        began = time.perf_counter()
        answer = await field.client.post(field.calm.door.path, content=body, headers=headers)
        found.append(time.perf_counter() - began)
        if answer.status_code not in (200, 202):
            raise RuntimeError(f"the calm account was answered {answer.status_code}: {answer.text}")

    tasks: list[asyncio.Task[None]] = []
    for _ in range(int(seconds * CALM_PER_SECOND)):
        tasks.append(asyncio.create_task(one(next(made).raw)))
        await asyncio.sleep(1 / CALM_PER_SECOND)
    await asyncio.gather(*tasks)
    return found


async def _beside_hot(field: Field, connections: int, seconds: float, label: str, side: Side) -> None:
    """The calm account's replies while the hot one keeps so many connections busy."""
    plan = {
        "address": field.gateway.base_url.removeprefix("http://").split(":"),
        "connections": connections,
        "seconds": seconds + 1.0,
        "requests": int((seconds + 1.0) * 3_000),
        "label": f"hot-{label}",
        "doors": [
            {
                "path": field.hot.door.path,
                "secret": field.hot.door.secret,
                "phones": field.hot.door.phones,
            }
        ],
    }
    hot = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.hot", cwd=_ROOT, env=environment(), stdin=-1, stdout=-1
    )
    try:
        if hot.stdin is None or hot.stdout is None:
            raise RuntimeError("the hot caller has no pipes")
        hot.stdin.write(json.dumps(plan).encode())
        hot.stdin.close()
        await hot.stdout.readline()
        await asyncio.sleep(_SETTLE_SECONDS)
        side.rounds.append(await _calm_replies(field, seconds, label))
        answered = json.loads(await hot.stdout.readline())
        side.notes.append(", ".join(f"{status}: {count}" for status, count in sorted(answered.items())))
        await hot.wait()
    finally:
        if hot.returncode is None:
            hot.kill()


async def _hot_account(field: Field, number: int, seconds: float, before: Side, after: Side) -> None:
    await _beside_hot(field, SATURATING, seconds, f"once-{number}", before)
    await _beside_hot(field, TEN_TIMES, seconds, f"tenfold-{number}", after)


Compare = Callable[[Field, int, float, Side, Side], Awaitable[None]]
COMPARISONS: dict[str, tuple[str, Compare]] = {
    "dead-endpoint": (f"an endpoint that never answers, with {BACKLOG:,} events waiting", _dead_endpoint),
    "hot-account": (f"another account with {TEN_TIMES} connections instead of {SATURATING}", _hot_account),
}


def _show(says: str, before: Side, after: Side) -> None:
    ratios = [
        after.percentile(99, number) / before.percentile(99, number) for number in range(len(before.rounds))
    ]
    print(f"\n{says}")
    for name, side in (("before", before), ("after", after)):
        count = sum(len(one) for one in side.rounds)
        print(
            f"  {name:7} p50 {side.percentile(50):8.1f} ms   p99 {side.percentile(99):8.1f} ms   ({count} measured)"
        )
        for note in side.notes:
            print(f"          the hot account was answered {note}")
    shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    median = statistics.median(ratios)
    print(f"  p99 after ÷ before: {median:.2f}, the median of {shown} (target: at most 1.10)")


async def _measure(chosen: Sequence[str], rounds: int, seconds: float) -> None:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubgate-neighbours-")))
        instance_url, _ = stack.enter_context(running_instance())
        postgres = stack.enter_context(running_postgres())
        redis = stack.enter_context(running_redis())
        gateway = Gateway(folder, postgres.url(postgres.create_database()), redis.url, extra=dict(_PACE))
        stack.callback(gateway.stop)
        await gateway.start()
        good, dead = await Endpoint(answers=True).start(), await Endpoint(answers=False).start()
        stack.callback(good.stop)
        stack.callback(dead.stop)
        database = open_database(gateway.database_url.replace("postgresql://", "postgresql+asyncpg://"))
        stack.push_async_callback(database.close)
        client = await stack.enter_async_context(
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=30)
        )
        customers = {}
        for name, webhook in (("well", good), ("ill", dead), ("calm", None), ("hot", None)):
            forwards = (good.url, webhook.url) if webhook is not None else None
            customers[name] = await prepare_customer(gateway, client, instance_url, name, forwards)
        field = Field(gateway, database, client, good, **customers)
        sides = {name: (Side(), Side()) for name in chosen}
        for number in range(1, rounds + 1):
            for name in chosen:
                await COMPARISONS[name][1](field, number, seconds, *sides[name])
                print(f"round {number} of {rounds}: {name}", flush=True)
        for name in chosen:
            _show(COMPARISONS[name][0], *sides[name])


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.neighbours", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=list(COMPARISONS), help="only this one; may be repeated"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each side in each round")
    arguments = parser.parse_args()
    asyncio.run(_measure(arguments.only or list(COMPARISONS), arguments.rounds, arguments.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
