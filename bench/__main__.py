"""`python -m bench`: starts every shape, drives them in interleaved rounds, prints and writes the table.

Exit code 1 if any answer was wrong; a missed target is shown and is no failure, for it depends on the machine.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests"), str(_ROOT / "proto/gen")]

from bench import report  # noqa: E402 - after the paths it is found through
from bench.growth import report as growth_report  # noqa: E402
from bench.growth import run as growth  # noqa: E402
from bench.rounds import FULL, QUICK, Length, run_drive  # noqa: E402
from bench.rows import DRIVES, Drive, Measured  # noqa: E402
from bench.shapes import SHAPES, running_instance  # noqa: E402


async def measure(drives: tuple[Drive, ...], length: Length) -> list[dict[str, Measured]]:
    """Starts the shapes that the drives need, and runs the rounds."""
    rounds: list[dict[str, Measured]] = []
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubgate-bench-")))
        instance = stack.enter_context(running_instance())
        shapes = {}
        for name in dict.fromkeys(drive.shape for drive in drives):
            print(f"starting the {name} shape", flush=True)
            place = folder / name
            shapes[name] = await stack.enter_async_context(SHAPES[name](place, instance[0]))
        for number in range(1, length.rounds + 1):
            found: dict[str, Measured] = {}
            for drive in drives:
                found[drive.name] = await run_drive(drive, shapes[drive.shape], number, length, instance)
                report.progress(number, length.rounds, drive.name, found[drive.name])
            rounds.append(found)
    return rounds


def _grow(most: int, parts: Sequence[str], *, recording: bool) -> int:
    found = asyncio.run(growth.measure(most, parts))
    print(growth_report.tables(found))
    for said in growth_report.missed(found):
        print(f"missed: {said}")
    growth_report.write(found)
    print(f"written to {growth_report.RESULTS.relative_to(_ROOT)}")
    if recording:
        growth_report.record(found)
    return 1 if found.replicas is not None and found.replicas.wrong else 0


def main() -> int:
    """Measures. `QUICK=1` in the environment means `--quick`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("QUICK")))
    names = [drive.name for drive in DRIVES]
    parser.add_argument("--drive", action="append", choices=names, help="only this one; may be repeated")
    parser.add_argument("--rounds", type=int, default=0, help="instead of the usual number")
    parser.add_argument("--record", action="store_true", help="put the tables into the documentation")
    parser.add_argument("--growth", action="store_true", help="curves over size instead")
    parser.add_argument("--most", type=int, default=growth.MOST, help="with --growth: no size above this")
    parser.add_argument(
        "--curve", action="append", choices=growth.PARTS, help="only this one; may be repeated"
    )
    arguments = parser.parse_args()
    if arguments.growth:
        return _grow(arguments.most, arguments.curve or growth.PARTS, recording=arguments.record)
    length = QUICK if arguments.quick else FULL
    if arguments.rounds:
        length = replace(length, rounds=arguments.rounds)
    drives = tuple(drive for drive in DRIVES if not arguments.drive or drive.name in arguments.drive)
    rounds = asyncio.run(measure(drives, length))
    found = report.lines(rounds)
    report.show(found, rounds)
    if not arguments.drive:
        report.write(found, rounds)
        print(f"written to {report.RESULTS.relative_to(_ROOT)}")
    if arguments.record:
        report.record(found, rounds)
    return 1 if report.errors(rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
