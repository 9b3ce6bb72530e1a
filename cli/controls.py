"""Owns `hubgate suppress`, `pause`, `resume`, `pauses` and `rules`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import connect
from cli.errors import CliError, ExitCode
from cli.imports import import_suppressions
from cli.options import AccountOption, Json, Limit, PersonOption
from cli.output import Cell, print_json, print_message, print_table, say, words
from cli.values import moment_to_wire, read_enum, read_moment, read_span, span_to_wire
from hubgate.policy.v1 import controls_pb2 as pb
from hubgate.policy.v1 import events_pb2, reasons_pb2

suppressions = typer.Typer(no_args_is_help=True, help="Persons who are not written to.")
rules = typer.Typer(no_args_is_help=True, help="What an administrator may tune.")

_RULE_FIELDS = (
    "content_block_score",
    "content_advice_score",
    "shadow_checks",
    "window",
    "pair_messages_per_minute",
    "pair_burst",
    "quota_shares",
)


@suppressions.command("add")
def add_suppression(
    phone: Annotated[str, typer.Argument(help="Phone number in international form.")],
    account: AccountOption,
    reason: Annotated[str, typer.Option(help="Why, in words.")] = "",
    json: Json = False,
) -> None:
    """Suppress a person for every purpose; one who is suppressed already stays so."""
    request = pb.CreateSuppressionRequest(
        account_id=account,
        person=events_pb2.PersonRef(phone=phone),
        reason=reason,
        source=pb.SUPPRESSION_SOURCE_ADMINISTRATOR,
    )
    _show(connect().call("CreateSuppression", request).suppression, json=json)


@suppressions.command("lift")
def lift_suppression(
    suppression_id: str,
    reason: Annotated[str, typer.Option(help="Why, in words.")] = "",
    evidence: Annotated[
        str, typer.Option(help="Evidence of the person's wish; needed where the person opted out.")
    ] = "",
    json: Json = False,
) -> None:
    """Lift a suppression."""
    request = pb.LiftSuppressionRequest(suppression_id=suppression_id, reason=reason, evidence=evidence)
    _show(connect().call("LiftSuppression", request).suppression, json=json)


@suppressions.command("list")
def list_suppressions(
    account: AccountOption,
    person: PersonOption = "",
    lifted: Annotated[bool, typer.Option("--lifted", help="Also those that were lifted.")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List suppressions, newest first."""
    request = pb.ListSuppressionsRequest(account_id=account, include_lifted=lifted)
    if person:
        request.person.phone = person
    rows = connect().rows("ListSuppressions", request, "suppressions", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "suppression": "suppression_id",
        "person": lambda row: row.person.phone or row.person.lid or row.person.business_scoped_id,
        "source": "source",
        "reason": "reason",
        "since": "created_at",
        "lifted": "lifted_at",
    }
    print_table(rows, columns, empty="Nobody is suppressed.")


@suppressions.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV with a column `phone`, and `reason` if you like.")],
    account: AccountOption,
    reason: Annotated[str, typer.Option(help="Reason for rows that have none.")] = "imported",
    json: Json = False,
) -> None:
    """Suppress everyone in a CSV file; exit code 1 if a row could not be taken."""
    result = import_suppressions(connect(), account, file, reason)
    if json:
        print_json(result.to_plain())
    else:
        say(f"{result.suppressed} of {result.rows} rows are suppressed.")
        for line, problem in result.problems:
            say(f"line {line}: {problem}")
    if result.problems:
        raise typer.Exit(ExitCode.PROBLEM)


def pause(
    platform: Annotated[bool, typer.Option("--platform", help="Pause everything.")] = False,
    account: AccountOption = "",
    instance: Annotated[str, typer.Option(help="Instance id.")] = "",
    integration: Annotated[str, typer.Option(help="Integration id.")] = "",
    person: PersonOption = "",
    reason: Annotated[str, typer.Option(help="Why, in words.")] = "",
    until: Annotated[str | None, typer.Option(help="When it ends, as ISO 8601.")] = None,
    for_: Annotated[str | None, typer.Option("--for", help="How long, such as 2h.")] = None,
    json: Json = False,
) -> None:
    """Pause sending: the platform, an account, an instance, an integration, or one person of an account."""
    request = pb.CreatePauseRequest(reason=reason)
    _set_scope(request, platform=platform, account=account, instance=instance, integration=integration)
    if person:
        if not account:
            raise CliError(ExitCode.USAGE, "--person needs --account.")
        request.scope, request.scope_id, request.account_id = pb.PAUSE_SCOPE_PERSON, "", account
        request.person.phone = person
    if until is not None and for_ is not None:
        raise CliError(ExitCode.USAGE, "Give --until or --for, not both.")
    if until is not None:
        request.until.CopyFrom(moment_to_wire(read_moment("--until", until)))
    if for_ is not None:
        request.until.CopyFrom(moment_to_wire(datetime.now(UTC) + read_span("--for", for_)))
    made = connect().call("CreatePause", request)
    if json:
        print_json(made)
        return
    print_message(made.pause)
    say(f"{made.senders_confirmed} sender(s) confirmed it; one that did not attempts nothing by itself.")


def resume(
    pause_ids: Annotated[list[str], typer.Argument(help="Pause ids (pau_…).")], json: Json = False
) -> None:
    """End pauses."""
    core = connect()
    lifted = [core.call("LiftPause", pb.LiftPauseRequest(pause_id=each)).pause for each in pause_ids]
    if json:
        print_json(lifted)
        return
    for each in lifted:
        print_message(each)


def list_pauses(
    account: AccountOption = "",
    ended: Annotated[bool, typer.Option("--ended", help="Also those that ended.")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List the pauses that hold, newest first."""
    request = pb.ListPausesRequest(account_id=account, include_ended=ended)
    rows = connect().rows("ListPauses", request, "pauses", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "pause": "pause_id",
        "scope": "scope",
        "of": "scope_id",
        "by": "author",
        "reason": "reason",
        "since": "created_at",
        "until": lambda row: words(row.until) or "it is lifted",
        "lifted": "lifted_at",
    }
    print_table(rows, columns, empty="Nothing is paused.")


@rules.command("show")
def show_rules(account: AccountOption = "", json: Json = False) -> None:
    """Show the rules of an account, or the platform's."""
    found = connect().call("GetRules", pb.GetRulesRequest(account_id=account))
    if json:
        print_json(found)
        return
    rows = [
        (name, _rule_words(found.rules, name, own=True), _rule_words(found.effective, name, own=False))
        for name in _RULE_FIELDS
    ]
    columns: dict[str, Cell] = {
        "rule": lambda row: row[0].replace("_", "-"),
        "set here": lambda row: row[1],
        "holds": lambda row: row[2],
    }
    print_table(rows, columns, empty="")
    say(f"version {found.effective.version}")


@rules.command("set")
def set_rules(
    account: AccountOption = "",
    content_block_score: Annotated[int | None, typer.Option(help="Score from which content blocks.")] = None,
    content_advice_score: Annotated[int | None, typer.Option(help="Score from which it is noted.")] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(
            "--shadow", help="Check that only watches: content, quota, cool_down, rate. Repeatable."
        ),
    ] = None,
    window: Annotated[str | None, typer.Option(help="Conversation window, at most 24h.")] = None,
    pair_messages_per_minute: Annotated[float | None, typer.Option(help="Pace of one pair.")] = None,
    pair_burst: Annotated[int | None, typer.Option(help="Burst of one pair.")] = None,
    quota_share: Annotated[
        list[str] | None,
        typer.Option(
            "--quota-share",
            help="CALLER=PERCENT: threecx, send_api, service, int_…, key_… or service:NAME. Repeatable; replaces all.",
        ),
    ] = None,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", help="Rule that goes back to its default. Repeatable.")
    ] = None,
    json: Json = False,
) -> None:
    """Change what is named of the rules of an account, or the platform's; the rest stays."""
    core = connect()
    wire = core.call("GetRules", pb.GetRulesRequest(account_id=account)).rules
    for name in clear or []:
        field = name.replace("-", "_")
        if field not in _RULE_FIELDS:
            allowed = ", ".join(each.replace("_", "-") for each in _RULE_FIELDS)
            raise CliError(ExitCode.USAGE, f"--clear must name one of {allowed}.")
        wire.ClearField(field)
    numbers = {
        "content_block_score": content_block_score,
        "content_advice_score": content_advice_score,
        "pair_messages_per_minute": pair_messages_per_minute,
        "pair_burst": pair_burst,
    }
    for field, value in numbers.items():
        if value is not None:
            setattr(wire, field, value)
    if window is not None:
        wire.window.CopyFrom(span_to_wire(read_span("--window", window)))
    if shadow is not None:
        del wire.shadow_checks[:]
        names = reasons_pb2.CheckName
        wire.shadow_checks.extend(read_enum("--shadow", names, "CHECK_NAME_", each) for each in shadow)
    if quota_share is not None:
        del wire.quota_shares[:]
        wire.quota_shares.extend(_read_share(each) for each in quota_share)
    changed = core.call("UpdateRules", pb.UpdateRulesRequest(account_id=account, rules=wire)).rules
    _show(changed, json=json)


def _read_share(written: str) -> pb.QuotaShare:
    caller, separator, percent = written.rpartition("=")
    if not separator or not (percent.isascii() and percent.isdigit()) or len(percent) > 3:
        raise CliError(
            ExitCode.USAGE, f"--quota-share must be CALLER=PERCENT, such as threecx=80; got {written!r}."
        )
    return pb.QuotaShare(caller=caller, percent=int(percent))


def _set_scope(
    request: pb.CreatePauseRequest, *, platform: bool, account: str, instance: str, integration: str
) -> None:
    named = [
        (pb.PAUSE_SCOPE_PLATFORM, "", platform),
        (pb.PAUSE_SCOPE_ACCOUNT, account, bool(account)),
        (pb.PAUSE_SCOPE_INSTANCE, instance, bool(instance)),
        (pb.PAUSE_SCOPE_INTEGRATION, integration, bool(integration)),
    ]
    chosen = [(scope, scope_id) for scope, scope_id, is_named in named if is_named]
    if len(chosen) != 1:
        raise CliError(
            ExitCode.USAGE,
            "Name one of --platform, --account, --instance, --integration, or --person with --account.",
        )
    request.scope, request.scope_id = chosen[0]


def _rule_words(wire: Any, name: str, *, own: bool) -> str:
    if name == "shadow_checks":
        return ", ".join(
            reasons_pb2.CheckName.Name(number).removeprefix("CHECK_NAME_").lower()
            for number in wire.shadow_checks
        )
    if name == "quota_shares":
        return ", ".join(f"{share.caller}={share.percent}" for share in wire.quota_shares)
    return "" if own and not wire.HasField(name) else words(getattr(wire, name))


def _show(message: Any, *, json: bool) -> None:
    if json:
        print_json(message)
    else:
        print_message(message)
