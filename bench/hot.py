"""A caller with far too much to do, a process of its own: keeps connections busy, and waits when it is told to.

Reads its plan as JSON on standard input, prints `ready`, and at the end how often each status was answered.
"""

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from typing import Any

import uvloop

from bench.requests import Door, replies


async def _call(
    plan: dict[str, Any], requests: "itertools.count[int]", made: list[bytes], ends_at: float
) -> Counter[int]:
    """One connection: the next request leaves when the last answer is whole, or when its Retry-After is over."""
    host, port = plan["address"]
    reader, writer = await asyncio.open_connection(host, port)
    found: Counter[int] = Counter()
    while time.perf_counter() < ends_at:
        writer.write(made[next(requests) % len(made)])
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.split("content-length: ", 1)[1].split("\r\n", 1)[0])
        await reader.readexactly(length)
        status = int(head[9:12])
        found[status] += 1
        if "\r\nretry-after: " in head:
            wait = float(head.split("\r\nretry-after: ", 1)[1].split("\r\n", 1)[0])
            await asyncio.sleep(min(wait, max(0.0, ends_at - time.perf_counter())))
    writer.close()
    return found


async def _drive(plan: dict[str, Any]) -> Counter[int]:
    doors = [Door(door["path"], door["secret"], tuple(door["phones"])) for door in plan["doors"]]
    host, port = plan["address"]
    endless = replies(doors, str(plan["label"]), f"{host}:{port}")
    made = [request.raw for request in itertools.islice(endless, int(plan["requests"]))]
    print("ready", flush=True)
    ends_at = time.perf_counter() + float(plan["seconds"])
    turns = itertools.count()
    calls = (_call(plan, turns, made, ends_at) for _ in range(int(plan["connections"])))
    total: Counter[int] = Counter()
    for found in await asyncio.gather(*calls):
        total.update(found)
    return total


def main() -> None:
    """Runs the plan on standard input."""
    plan = json.load(sys.stdin)
    print(json.dumps(uvloop.run(_drive(plan))), flush=True)


if __name__ == "__main__":
    main()
