"""Owns `hubgate doctor`: looks at everything and says what is wrong."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from cli.client import Core, connect
from cli.data_folder import RUN_FILE, data_folder
from cli.errors import CliError, ExitCode
from cli.options import Json
from cli.output import Cell, enum_word, print_json, print_table, say
from cli.ready import is_ready
from hubgate.policy.v1 import connection_check_pb2, events_pb2, records_pb2

_WALK_SECONDS = 40.0
"""Several addresses are tried, each of which may take its time."""
_STATES = {
    connection_check_pb2.CHECK_STATE_OK: "ok",
    connection_check_pb2.CHECK_STATE_FAILED: "PROBLEM",
    connection_check_pb2.CHECK_STATE_SKIPPED: "-",
}
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


def doctor(
    integration: Annotated[
        str, typer.Option(help="Walk through this 3CX connection instead, step by step.")
    ] = "",
    public_url: Annotated[
        str, typer.Option(help="With --integration: the gateway's address as 3CX writes it.")
    ] = "",
    test_phone: Annotated[
        str, typer.Option(help="With --integration: a number to try a message with; it is only decided.")
    ] = "",
    send_test: Annotated[
        bool,
        typer.Option(
            "--send-test",
            help="With --integration: send that message, and post a test event to the destination.",
        ),
    ] = False,
    language: Annotated[str, typer.Option(help="With --integration: en or ar; else its own.")] = "",
    json: Json = False,
) -> None:
    """Check configuration, policy core, database, Redis, senders, instances and clocks, or one 3CX connection; exit
    code 1 if any is ill.
    """
    if integration:
        walk_through(
            connect(),
            connection_check_pb2.CheckIntegrationRequest(
                integration_id=integration,
                public_url=public_url,
                test_phone=test_phone,
                send_test=send_test,
                language=language,
            ),
            json=json,
        )
        return
    if public_url or test_phone or send_test or language:
        raise CliError(ExitCode.USAGE, "These options belong to --integration.")
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


def walk_through(core: Core, request: connection_check_pb2.CheckIntegrationRequest, *, json: bool) -> None:
    """Shows every step of a connection, and at the end the first thing that is wrong."""
    try:
        found = core.call("CheckIntegration", request, timeout=_WALK_SECONDS)
    finally:
        core.close()
    if json:
        print_json(found)
    else:
        columns: dict[str, Cell] = {
            "": lambda step: _STATES.get(step.state, "?"),
            "step": "name",
            "how it is": "sentence",
        }
        print_table(found.steps, columns, empty="")
        if found.problem:
            say(f"\n{found.problem}")
    if not found.healthy:
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
