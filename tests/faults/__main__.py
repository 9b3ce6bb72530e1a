"""`python -m faults`: makes faults, shows the table, writes the report; exit code 1 if a promise was broken."""

import argparse
import asyncio
import json
import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests"), str(_ROOT / "proto/gen")]

# The harness starts servers while its own gRPC calls are under way; nothing of gRPC is used in what it starts.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import uvloop  # noqa: E402 - after the paths that the rest is found through

from faults import report  # noqa: E402
from faults.catalogue import FAULTS, Fault  # noqa: E402
from faults.rounds import Length, Pass, play  # noqa: E402

_SHOWN = 10
_EVIDENCE = report.REPORT.parent / "faults-evidence"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first pass; the next one's is one higher")
    parser.add_argument("--rounds", type=int, default=1, help="how often every fault is made")
    parser.add_argument("--only", action="append", default=[], help="only faults whose name holds this")
    parser.add_argument("--seconds", type=float, default=6.0, help="of work in a round")
    parser.add_argument("--kill-seconds", type=float, default=20.0, help="of work in a round that kills")
    parser.add_argument("--record", action="store_true", help="add the run to docs/faults.md")
    parser.add_argument("--list", action="store_true", help="only name the faults")
    return parser.parse_args()


def _chosen(words: list[str]) -> list[Fault]:
    return [fault for name, fault in FAULTS.items() if not words or any(word in name for word in words)]


def _tell(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _show(done: Pass) -> None:
    for number, played in enumerate(done.played):
        for violation in played.violations[:_SHOWN]:
            print(f"{violation.promise}: {played.fault}: {violation.what}")
        if played.violations:
            kept = _EVIDENCE / f"{played.seed}-{played.fault.replace(' ', '-').replace('/', '-')}.json"
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(asdict(done.evidence[number]), default=str, indent=1, skipkeys=True))
            print(f"    what was seen: {kept.relative_to(_ROOT)}")
            print(f"    again: make faults SEED={played.seed} ROUNDS=1 ARGS='--only \"{played.fault}\"'")
    for words in done.unexpected:
        print(f"unexpected: {words}")


def main() -> int:
    """Runs; returns the exit code."""
    arguments = _arguments()
    # The stand-ins break off answers on purpose.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    faults = _chosen(arguments.only)
    if arguments.list or not faults:
        print("\n".join(fault.name for fault in faults) or "There is no such fault.")
        return 0 if faults else 2
    tally = report.Tally(arguments.seed)
    length = Length(arguments.seconds, arguments.kill_seconds)
    for number in range(arguments.rounds):
        for done in uvloop.run(_play(faults, arguments.seed + number, length)):
            tally.add(done)
            _show(done)
    found = report.summary(tally)
    report.write(found)
    print(report.table(found["faults"]))
    print(f"{found['runs']} rounds, {found['kills']} kills; written to {report.REPORT.relative_to(_ROOT)}")
    if arguments.record:
        report.record(found)
    return 1 if tally.broken else 0


async def _play(faults: list[Fault], seed: int, length: Length) -> list[Pass]:
    asyncio.get_running_loop().slow_callback_duration = 60.0
    return await play(faults, seed, length, _tell)


if __name__ == "__main__":
    sys.exit(main())
