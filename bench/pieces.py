"""What single pieces of a reply cost in processor time: `python -m bench.pieces permit|content|…`."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests"), str(_ROOT / "proto/gen")]

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402
from sqlalchemy import update  # noqa: E402

from bench import decision, policy_log  # noqa: E402
from policycore.checks import build_checks  # noqa: E402
from policycore.content.load import load_scorer  # noqa: E402
from policycore.ledger import MessageState, view_of  # noqa: E402
from policycore.store import tables  # noqa: E402
from policycore.usecases.bodies import STATUS_UPDATED  # noqa: E402
from policycore.usecases.command import SubmitCommand  # noqa: E402
from policycore.usecases.decide_batch import BatchDecider  # noqa: E402
from servers.postgres import running_postgres  # noqa: E402
from support.core_parts import CoreParts, open_core  # noqa: E402

TEXT = (
    "Hello, this is the service desk about your ticket. Our technician looked at the router and will call you"
    " back at extension 101 this afternoon."
)
PERSONS = 256
REPEATS = 40
SIZES = (1, 8, 32, 96)


def _microseconds(work: Callable[[], object], times: int = 2_000) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6


def permit() -> None:
    """Signing in the policy core, checking in the sender."""
    key = Ed25519PrivateKey.generate()
    words = os.urandom(300)
    signature, public = key.sign(words), key.public_key()
    print(f"sign   {_microseconds(lambda: key.sign(words)):6.1f} µs")
    print(f"verify {_microseconds(lambda: public.verify(signature, words)):6.1f} µs")


def content() -> None:
    """The content check over one reply."""
    score = load_scorer()
    print(f"score  {_microseconds(lambda: score(TEXT, 0)):6.1f} µs for {len(TEXT)} characters")


def _command(number: int) -> SubmitCommand:
    intent = decision.reply_to(_phone(number), f"{TEXT} ({number})", f"3cx-chat-{number % PERSONS}")
    return SubmitCommand(intent, claim=os.urandom(32))


def _phone(number: int) -> str:
    return f"+96650{number % PERSONS:07d}"


async def _batches(url: str) -> None:
    core = await open_core(url)
    await core.change(update(tables.accounts).values(plan=4, daily_limit=10**8, monthly_limit=10**8))
    for number in range(PERSONS):
        await core.inbound("Hello", phone=_phone(number))
    checks = build_checks(load_scorer())
    decider = BatchDecider(core.ledger, core.counters, checks, core.clock, os.urandom, core.senders.available)
    print("batch   decide, µs a message   settle, µs a message   (least of", REPEATS, "batches)")
    for size in SIZES:
        found = [await _one_batch(core, decider, size, number * size) for number in range(REPEATS)]
        decide, settle = (min(each) / size * 1e6 for each in zip(*found, strict=True))
        print(f"{size:5}   {decide:20,.0f}   {settle:20,.0f}")
    await core.close()


async def _one_batch(core: CoreParts, decider: BatchDecider, size: int, first: int) -> tuple[float, float]:
    """Seconds of this process for deciding a batch, and for settling it."""
    commands = [_command(first + number) for number in range(size)]
    began = time.process_time()
    decided = await decider(commands)
    middle = time.process_time()
    now = datetime.now(UTC)
    accepted = [
        view_of(message, MessageState.ACCEPTED, f"x{message_id}", now)
        for message_id, message in decided.messages.items()
    ]
    if len(accepted) != size:
        raise RuntimeError(f"{size - len(accepted)} of {size} were refused")
    settling = time.process_time()
    settled, _ = await core.events.record_accepted(accepted, STATUS_UPDATED, now)
    if len(settled) != size:
        raise RuntimeError(f"{size - len(settled)} of {size} were not settled")
    return middle - began, time.process_time() - settling


def batches() -> None:
    """Deciding and settling on PostgreSQL, without gRPC and HTTP around it."""
    with running_postgres() as server:
        asyncio.run(_batches(server.url(server.create_database())))


def log() -> None:
    """A row of the policy log, with and without partitions."""
    with running_postgres() as server:
        for name, taken in asyncio.run(policy_log.measure(server)).items():
            print(f"{name:10} {taken:6.1f} µs of PostgreSQL for a row, in batches of {policy_log.BATCH}")


def main() -> None:
    """Prints one piece's cost."""
    pieces = {"permit": permit, "content": content, "decide": decision.report, "batches": batches, "log": log}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("piece", choices=pieces)
    pieces[parser.parse_args().piece]()


if __name__ == "__main__":
    main()
