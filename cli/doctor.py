"""Owns `hubgate doctor`: looks at everything and says what is wrong."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import typer

from cli.client import Core, connect
from cli.data_folder import RUN_FILE, data_folder
from cli.errors import CliError, ExitCode
from cli.options import Json
from cli.output import Cell, enum_word, print_json, print_table
from cli.ready import is_ready
from hubgate.policy.v1 import events_pb2, records_pb2

_MAX_CLOCK_OFFSET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    healthy: bool
    explanation: str

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "healthy": self.healthy, "explanation": self.explanation}


def doctor(json: Json = False) -> None:
    """Check configuration, policy core, database, Redis, senders, instances and clocks; exit code 1 if any is ill."""
    checks = examine()
    if json:
        print_json(
            {"healthy": all(each.healthy for each in checks), "checks": [c.to_plain() for c in checks]}
        )
    else:
        columns: dict[str, Cell] = {
            "": lambda check: "ok" if check.healthy else "PROBLEM",
            "what": lambda check: check.name,
            "how it is": lambda check: check.explanation,
        }
        print_table(checks, columns, empty="")
    if not all(each.healthy for each in checks):
        raise typer.Exit(ExitCode.PROBLEM)


def examine(
    open_core: Callable[[], Core] = connect, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> list[Check]:
    """Looks at everything, in order; stops where the rest cannot be known."""
    try:
        core = open_core()
    except CliError as error:
        return [Check("configuration", False, str(error))]
    checks = [Check("configuration", True, f"A token was found; the policy core is {core.address}.")]
    try:
        state = core.call("GetSystemState", records_pb2.GetSystemStateRequest())
    except CliError as error:
        return [*checks, Check("policy core", False, str(error)), *_edge()]
    finally:
        core.close()
    explanation = f"Version {state.version}, schema {state.schema_revision}."
    checks.append(Check("policy core", True, explanation))
    parts = [part for part in state.components if not part.name.startswith("instance ")]
    checks += [Check(part.name, part.healthy, part.explanation) for part in parts]
    checks.append(_clock(state.database_time.ToDatetime(UTC), now()))
    checks += [instance_check(instance) for instance in state.instances]
    return [*checks, *_edge()]


def _clock(database_time: datetime, here: datetime) -> Check:
    offset = abs((here - database_time).total_seconds())
    sentence = f"This machine's clock is {offset:.1f} s off the database's."
    if offset <= _MAX_CLOCK_OFFSET_SECONDS:
        return Check("clock here", True, sentence)
    return Check("clock here", False, f"{sentence} Set it right: signatures with timestamps will be refused.")


def instance_check(instance: Any) -> Check:
    """An instance, as the policy core shows it."""
    name = f"instance {instance.name} ({instance.instance_id})"
    state = enum_word(instance, "state")
    if instance.HasField("unacknowledged_since"):
        since = instance.unacknowledged_since.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M UTC")
        return Check(
            name, False, f"It says {state}, but acknowledged nothing that it accepted since {since}."
        )
    why = f", {instance.state_reason}" if instance.state_reason else ""
    if instance.held_back:
        return Check(name, False, f"The {instance.backend} instance is {state}{why}. {instance.held_back}")
    if instance.state == events_pb2.INSTANCE_STATE_OPEN:
        return Check(name, True, f"The {instance.backend} instance is open.")
    return Check(
        name, False, f"The {instance.backend} instance is {state}{why}; nothing can be sent through it."
    )


def _edge() -> list[Check]:
    """The edge, if what runs in the data folder says where it is."""
    base_url = (data_folder(os.environ).read_json(RUN_FILE) or {}).get("base_url")
    if not isinstance(base_url, str):
        return []
    if is_ready(f"{base_url}/readyz", timeout=3):
        return [Check("edge", True, f"Ready at {base_url}.")]
    return [Check("edge", False, f"Not ready at {base_url}; see its log in the data folder.")]
