"""Owns `hubgate decisions`: the policy log, and one decision explained."""

from typing import Annotated

import typer

from cli.client import connect
from cli.options import AccountOption, Json, Limit, PersonOption
from cli.output import Cell, enum_word, print_fields, print_json, print_table, say, words
from cli.values import read_enum
from hubgate.policy.v1 import policy_service_pb2, reasons_pb2
from hubgate.policy.v1 import records_pb2 as pb

decisions = typer.Typer(no_args_is_help=True, help="The policy log.")


@decisions.command("list")
def list_decisions(
    account: AccountOption = "",
    integration: Annotated[str, typer.Option(help="Integration id.")] = "",
    instance: Annotated[str, typer.Option(help="Instance id.")] = "",
    person: PersonOption = "",
    reason: Annotated[str | None, typer.Option(help="Reason, such as window_expired.")] = None,
    verdict: Annotated[str | None, typer.Option(help="allow, deny or defer.")] = None,
    limit: Limit = 20,
    json: Json = False,
) -> None:
    """List decisions, newest first."""
    request = pb.ListDecisionsRequest(account_id=account, integration_id=integration, instance_id=instance)
    if person:
        request.person.phone = person
    if reason is not None:
        request.reason = read_enum("--reason", reasons_pb2.ReasonCode, "REASON_CODE_", reason)
    if verdict is not None:
        request.verdict = read_enum("--verdict", reasons_pb2.Verdict, "VERDICT_", verdict)
    rows = connect().rows("ListDecisions", request, "records", limit)
    if json:
        print_json(rows)
        return
    columns: dict[str, Cell] = {
        "log id": lambda row: row.decision.log_id,
        "when": lambda row: row.decision.decided_at,
        "verdict": lambda row: enum_word(row.decision, "verdict"),
        "reason": lambda row: enum_word(row.decision, "reason"),
        "event": "event_type",
        "person": "phone_masked",
        "purpose": "purpose",
        "caller": "caller",
        "message": lambda row: enum_word(row, "message_state") if row.message_id else "",
    }
    print_table(rows, columns, empty="No decision was made yet.")


@decisions.command("explain")
def explain(
    decision: Annotated[str, typer.Argument(help="Number in the log, or id (dec_…).")], json: Json = False
) -> None:
    """Explain one decision: every finding, its numbers, and when it would pass."""
    request = policy_service_pb2.ExplainRequest()
    if decision.isascii() and decision.isdigit() and len(decision) < 19:
        request.log_id = int(decision)
    else:
        request.decision_id = decision
    record = connect().call("Explain", request).record
    if json:
        print_json(record)
        return
    made = record.decision
    print_fields(
        [
            ("decision", f"{made.decision_id} (log id {made.log_id})"),
            ("decided at", made.decided_at),
            ("verdict", enum_word(made, "verdict")),
            ("reason", enum_word(made, "reason")),
            ("explanation", made.explanation),
            ("event", enum_word(record, "event_type")),
            ("purpose", record.purpose),
            ("person", record.phone_masked),
            ("account", record.account_id),
            ("integration", record.integration_id),
            ("instance", record.instance_id),
            ("caller", record.caller),
            ("risk score", made.risk_score),
            ("rules version", made.rules_version),
            (
                "message",
                f"{record.message_id} {enum_word(record, 'message_state')}" if record.message_id else "",
            ),
        ]
    )
    say("")
    columns: dict[str, Cell] = {
        "check": "check",
        "says": lambda row: enum_word(row, "verdict") + (" (shadow)" if row.shadow else ""),
        "reason": "reason",
        "limit": lambda row: row.limit if row.HasField("limit") else "",
        "used": lambda row: row.used if row.HasField("used") else "",
        "passes at": "passes_at",
        "explanation": lambda row: (
            row.explanation
            or ", ".join(f"{name} {words(value)}" for name, value in sorted(row.facts.items()))
        ),
    }
    print_table(made.findings, columns, empty="No check was asked.")
