"""Owns importing suppressions from a CSV file, many calls under way at once."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cli.client import Core, failure
from cli.errors import CliError, ExitCode
from hubgate.policy.v1 import controls_pb2, events_pb2

_UNDER_WAY = 32
_MOST_BYTES = 200 * 1024 * 1024


@dataclass(slots=True)
class ImportResult:
    """How an import went. `problems` are line numbers with one sentence each."""

    rows: int = 0
    suppressed: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        problems = [{"line": line, "problem": problem} for line, problem in self.problems]
        return {"rows": self.rows, "suppressed": self.suppressed, "problems": problems}


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    phone: str
    reason: str


def import_suppressions(core: Core, account_id: str, file: Path, reason: str) -> ImportResult:
    """Suppresses everyone in the file, with a progress bar on standard error if that is a terminal.

    Rows that are refused are told of at the end. Errors: `CliError` if the file cannot be read, or the policy
    core not be reached, told which line was the last that is certain.
    """
    rows = list(_read(file))
    result = ImportResult(rows=len(rows))
    columns = (TextColumn("suppressing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("suppressing", total=len(rows))
        under_way: deque[tuple[_Row, Any]] = deque()
        for row in rows:
            under_way.append((row, core.begin("CreateSuppression", _request(account_id, row, reason))))
            if len(under_way) >= _UNDER_WAY:
                _finish(core, result, *under_way.popleft())
                progress.advance(bar)
        while under_way:
            _finish(core, result, *under_way.popleft())
            progress.advance(bar)
    return result


def _finish(core: Core, result: ImportResult, row: _Row, call: Any) -> None:
    try:
        call.result()
    except grpc.RpcError as error:
        known = failure(error, core.address)
        if known.code is not ExitCode.USAGE:
            raise CliError(known.code, f"Stopped at line {row.line}: {known}") from None
        result.problems.append((row.line, str(known)))
        return
    result.suppressed += 1


def _request(account_id: str, row: _Row, reason: str) -> controls_pb2.CreateSuppressionRequest:
    return controls_pb2.CreateSuppressionRequest(
        account_id=account_id,
        person=events_pb2.PersonRef(phone=row.phone),
        reason=row.reason or reason,
        source=controls_pb2.SUPPRESSION_SOURCE_IMPORT,
    )


def _read(file: Path) -> Iterator[_Row]:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise CliError(
                ExitCode.USAGE, f"{file} is larger than {_MOST_BYTES // 1024 // 1024} MiB; split it."
            )
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened)
            names = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            if "phone" not in names:
                raise CliError(ExitCode.USAGE, f"{file} has no column `phone` in its first line.")
            for record in reader:
                phone = (record.get(names["phone"]) or "").strip()
                why = (record.get(names["reason"]) or "").strip() if "reason" in names else ""
                if phone or why:
                    yield _Row(reader.line_num, phone, why)
    except OSError as error:
        raise CliError(ExitCode.USAGE, f"{file} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CliError(ExitCode.USAGE, f"{file} is not a CSV file in UTF-8.") from error
