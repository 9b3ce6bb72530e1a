"""What the edge answers: outcomes and errors of the policy core as HTTP status, headers and JSON body."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from edge import public_codes
from edge.model import Decision, Finding, Message, Outcome
from edge.public_codes import PublicCode
from edge.words import Action, CheckName, EventType, MessageState, ReasonCode, Verdict, word

JSON: Final = "application/json"
RETRY_AFTER_UNAVAILABLE: Final = 5
"""Seconds a caller is asked to wait where nobody knows better."""

_QUOTA_REASONS: Final = frozenset({ReasonCode.DAILY_QUOTA_SPENT, ReasonCode.MONTHLY_QUOTA_SPENT})
_SENT: Final = frozenset(
    {MessageState.ACCEPTED, MessageState.SENT, MessageState.DELIVERED, MessageState.READ}
)
_NOT_SENT: Final = frozenset({MessageState.REJECTED, MessageState.FAILED})


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A finished answer. `code` is the public error code, or what came of it, for metrics."""

    status: int
    body: bytes
    code: str
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON


def ok(body: Mapping[str, Any], status: int = 200, code: str = "ok") -> HttpAnswer:
    """A JSON answer that is no error."""
    return HttpAnswer(status, msgspec.json.encode(body), code)


def error(
    public: PublicCode,
    *,
    message: str = "",
    details: Mapping[str, Any] | None = None,
    log_id: int = 0,
    retry_after: int | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    extra: Mapping[str, Any] | None = None,
) -> HttpAnswer:
    """An error in the public shape. `retry_after` in whole seconds; 429 and 503 always carry one."""
    if retry_after is None and public.http_status in (429, 503):
        retry_after = RETRY_AFTER_UNAVAILABLE
    shown = dict(details or {})
    if retry_after is not None:
        headers = (*headers, ("retry-after", str(retry_after)))
        shown["retry_after"] = retry_after
    body: dict[str, Any] = {"success": False, "error": public.code, "message": message or public.sentence}
    body["details"] = shown
    if log_id:
        # Beside the error for whoever reads the top, and in the details, where the shape leaves room for more.
        body["log_id"] = shown["log_id"] = log_id
    body.update(extra or {})
    return HttpAnswer(public.http_status, msgspec.json.encode(body), public.code, headers)


def unauthenticated_webhook() -> HttpAnswer:
    """The one answer to a 3CX webhook that did not prove itself, whatever was wrong: the same bytes every
    time.
    """
    return _GENERIC_401


_GENERIC_401: Final = HttpAnswer(
    401,
    b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}',
    public_codes.INVALID_3CX_WEBHOOK.code,
)


def unavailable(retry_after_seconds: float | None = None) -> HttpAnswer:
    """The policy core cannot be asked right now."""
    return error(public_codes.SERVICE_UNAVAILABLE, retry_after=_whole(retry_after_seconds))


def is_replay(outcome: Outcome) -> bool:
    """Whether the request was turned away because its signature had been accepted before."""
    return outcome.decision.reason == ReasonCode.SIGNATURE_REPLAYED


def submission(outcome: Outcome, *, now: float, send_api: bool = False, sentence: str = "") -> HttpAnswer:
    """The answer to a submission. `now` in Unix seconds turns instants into Retry-After; `sentence` stands for a
    refusal's usual one.
    """
    action = outcome.decision.action
    if action == Action.SEND:
        return _message_answer(outcome, send_api)
    if action == Action.RECORD:
        return _success(outcome, "accepted", 200, send_api)
    if action == Action.SKIP:
        return _skipped(outcome, now, send_api)
    return _refusal(outcome, now, send_api, sentence)


def _message_answer(outcome: Outcome, send_api: bool) -> HttpAnswer:
    message = outcome.message
    state = message.state if message is not None else MessageState.UNSPECIFIED
    if state in _SENT:
        return _success(outcome, "sent", 200, send_api)
    if message is not None and state in _NOT_SENT:
        details: dict[str, Any] = _base_details(outcome.decision) | {"code": message.error_code}
        if message.error_text:
            details["explanation"] = message.error_text
        return error(
            public_codes.GATEWAY_SEND_FAILED,
            details=details,
            log_id=outcome.decision.log_id,
            extra=_identity(outcome, send_api),
        )
    if state == MessageState.LAPSED:
        return error(
            public_codes.SERVICE_UNAVAILABLE,
            message="The message was not sent in time and will not be; its quota was given back.",
            details=_base_details(outcome.decision),
            log_id=outcome.decision.log_id,
            extra=_identity(outcome, send_api),
        )
    # WAITING, HANDED_OUT, UNKNOWN, and whatever a newer policy core may add: recorded, outcome not known.
    return _success(outcome, "pending", 202, send_api)


def _identity(outcome: Outcome, send_api: bool) -> dict[str, Any]:
    """The fields that name the message, the decision and the event; what is not there is left out."""
    named: dict[str, Any] = {}
    if outcome.message is not None:
        named["message_id"] = outcome.message.message_id
        if outcome.message.external_message_id:
            named["external_message_id"] = outcome.message.external_message_id
    if outcome.decision.log_id:
        named["log_id"] = outcome.decision.log_id
    if not send_api and outcome.event_type:
        named["event_type"] = word(EventType, outcome.event_type)
    if outcome.duplicate:
        named["duplicate"] = True
    return named


def _success(
    outcome: Outcome, answer: str, status: int, send_api: bool, details: Mapping[str, Any] | None = None
) -> HttpAnswer:
    body: dict[str, Any] = {"success": True, "status": answer, **_identity(outcome, send_api)}
    if details:
        body["details"] = details
    return ok(body, status, answer)


def _skipped(outcome: Outcome, now: float, send_api: bool) -> HttpAnswer:
    decision = outcome.decision
    top = _top_finding(decision)
    details: dict[str, Any] = {"action": "skip"}
    wait = _retry_after(decision, top, now)
    if wait is not None:
        details["retry_after"] = wait
    return _success(outcome, "skipped", 200, send_api, details)


def _refusal(outcome: Outcome, now: float, send_api: bool, sentence: str) -> HttpAnswer:
    decision = outcome.decision
    reason = _leading_reason(decision, send_api)
    public = public_code(decision, send_api)
    known = reason in public_codes.BY_REASON
    top = next(
        (finding for finding in decision.findings if finding.reason == reason and not finding.shadow), None
    )
    details = _base_details(decision)
    explanation = decision.explanation if reason == decision.reason or top is None else top.explanation
    if explanation:
        details["explanation"] = explanation
    if top is not None:
        details.update(_numbers(top))
    if top is not None and top.passes_at is not None and reason in _QUOTA_REASONS:
        details["resets_at"] = instant(top.passes_at)
    details["findings"] = [finding_view(finding) for finding in decision.findings]
    # Only an answer that asks for patience carries Retry-After; elsewhere the time is in the findings.
    wait = _retry_after(decision, top, now) if public.http_status in (429, 503) else None
    return error(
        public,
        message=sentence or ("" if known else decision.explanation),
        details=details,
        log_id=decision.log_id,
        retry_after=wait,
        extra=_identity(outcome, send_api),
    )


def public_code(decision: Decision, send_api: bool) -> PublicCode:
    """The public code that a refused request was, or is, answered with."""
    return public_codes.for_reason(_leading_reason(decision, send_api), decision.verdict, send_api)


def _leading_reason(decision: Decision, send_api: bool) -> int:
    """The decision's reason; in the send API, what is wrong with the call itself goes first."""
    if send_api:
        found = {finding.reason for finding in decision.findings if not finding.shadow}
        for reason in public_codes.SEND_API:
            if reason in found:
                return reason
    return decision.reason


def _top_finding(decision: Decision) -> Finding | None:
    return next(
        (each for each in decision.findings if each.reason == decision.reason and not each.shadow), None
    )


def _base_details(decision: Decision) -> dict[str, Any]:
    return {"action": word(Action, decision.action), "risk_score": decision.risk_score}


def _numbers(finding: Finding) -> dict[str, Any]:
    numbers = {"limit": finding.limit, "used": finding.used}
    return {name: number for name, number in numbers.items() if number is not None}


def finding_view(finding: Finding) -> dict[str, Any]:
    """One finding as JSON, with its numbers and when it would pass."""
    view: dict[str, Any] = {
        "check": word(CheckName, finding.check),
        "verdict": word(Verdict, finding.verdict),
        "reason": word(ReasonCode, finding.reason),
        "message": finding.explanation,
        "shadow": finding.shadow,
        **_numbers(finding),
    }
    if finding.passes_at is not None:
        view["passes_at"] = instant(finding.passes_at)
    if finding.facts:
        view["facts"] = dict(finding.facts)
    return view


def message_view(message: Message) -> dict[str, Any]:
    """What became of one message, as JSON. `status` is one of sent, pending, failed, received."""
    view: dict[str, Any] = {
        "message_id": message.message_id,
        "status": _status(message.state),
        "state": word(MessageState, message.state),
        "instance_id": message.instance_id,
        "conversation_id": message.conversation_id,
        "external_message_id": message.external_message_id,
        "log_id": message.log_id,
        "event_type": message.event_type,
        "created_at": instant(message.created_at),
        "updated_at": instant(message.updated_at),
    }
    if message.error_code:
        view["details"] = {"code": message.error_code, "explanation": message.error_text}
    return view


def _status(state: int) -> str:
    if state in _SENT:
        return "sent"
    if state in _NOT_SENT or state == MessageState.LAPSED:
        return "failed"
    return "received" if state == MessageState.RECEIVED else "pending"


def instant(seconds: float | None) -> str | None:
    """An instant in Unix seconds as ISO 8601 in UTC with milliseconds; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def retry_after(decision: Decision, now: float) -> int | None:
    """Whole seconds until a refused request would pass, as far as that is known; `now` in Unix seconds."""
    return _retry_after(decision, _top_finding(decision), now)


def _retry_after(decision: Decision, top: Finding | None, now: float) -> int | None:
    if decision.retry_after_seconds is not None:
        return _whole(decision.retry_after_seconds)
    if top is not None and top.passes_at is not None:
        return _whole(top.passes_at - now)
    return None


def _whole(seconds: float | None) -> int | None:
    """Whole seconds, rounded up, at least 1."""
    return None if seconds is None else max(1, math.ceil(seconds))
