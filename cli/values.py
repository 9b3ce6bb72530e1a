"""Owns reading what people type: lengths of time, moments, words for enums. Pure."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from cli.errors import CliError, ExitCode

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"([0-9]{1,9})\s*([smhd])", re.ASCII)


def read_span(option: str, text: str) -> timedelta:
    """`90s`, `15m`, `24h` or `7d`. Errors: `CliError`."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise CliError(ExitCode.USAGE, f"{option} must be a number and a unit, such as 90s, 15m, 24h or 7d.")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def span_to_wire(span: timedelta) -> Duration:
    """A length of time as the contract has it."""
    wire = Duration()
    wire.FromTimedelta(span)
    return wire


def read_moment(option: str, text: str) -> datetime:
    """An ISO 8601 moment; without an offset it is UTC. Errors: `CliError`."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise CliError(
            ExitCode.USAGE, f"{option} must be a time such as 2026-03-14T18:00:00+03:00."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def moment_to_wire(moment: datetime) -> Timestamp:
    """A moment as the contract has it."""
    wire = Timestamp()
    wire.FromDatetime(moment)
    return wire


def read_enum(option: str, enum: Any, prefix: str, text: str) -> Any:
    """The number of an enum's word: `starter` -> PLAN_STARTER. Errors: `CliError`."""
    word = text.strip().upper().replace("-", "_")
    known = {
        name.removeprefix(prefix): number
        for name, number in enum.items()
        if not name.endswith("_UNSPECIFIED")
    }
    if word not in known:
        allowed = ", ".join(sorted(name.lower() for name in known))
        raise CliError(ExitCode.USAGE, f"{option} must be one of {allowed}.")
    return known[word]
