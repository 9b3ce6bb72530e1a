"""The policy log for administrators: `GET /admin/decisions` and `GET /admin/decisions/{log_id}`."""

from typing import Any, Final, Protocol

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.errors import InvalidCallError, NotAuthenticatedError, NotFoundError, NotPermittedError
from edge.gate import Gate
from edge.http import HttpRequest
from edge.model import DecisionRow
from edge.words import Action, EventType, MessageState, ReasonCode, Verdict, word

SURFACE: Final = "admin_api"
DEFAULT_LIMIT: Final = 50
LARGEST_LIMIT: Final = 1_000
_BEARER: Final = (("www-authenticate", "Bearer"),)


class ReadsDecisions(Protocol):
    """What the policy log needs of the policy core; both raise CoreError."""

    async def decisions(self, token: str, limit: int) -> list[DecisionRow]:
        """The newest rows."""
        ...

    async def explain(self, token: str, log_id: int) -> DecisionRow:
        """One row with every finding."""
        ...


class AdminDecisions:
    """Both endpoints. The caller's own token decides what it may see."""

    def __init__(self, gate: Gate, core: ReadsDecisions) -> None:
        self._gate = gate
        self._core = core

    async def newest(self, request: HttpRequest) -> HttpAnswer:
        """Lists decisions, newest first."""
        token = request.bearer()
        if token is None:
            return self._unauthenticated(request)
        limit = _limit(request.query().get("limit", ""))
        if limit is None:
            sentence = f"The limit must be a whole number from 1 to {LARGEST_LIMIT}."
            return answers.error(public_codes.VALIDATION_ERROR, message=sentence)
        try:
            rows = await self._core.decisions(token, limit)
        except NotAuthenticatedError:
            return self._unauthenticated(request)
        except NotPermittedError:
            return self._denied(request)
        return answers.ok({"success": True, "decisions": [decision_view(row) for row in rows]})

    async def one(self, request: HttpRequest) -> HttpAnswer:
        """Shows one decision with every finding."""
        written = request.params["log_id"]
        token = request.bearer()
        if token is None:
            return self._unauthenticated(request)
        if not (written.isascii() and written.isdigit() and 0 < len(written) < 19):
            return answers.error(public_codes.NOT_FOUND, message="There is no such decision.")
        try:
            row = await self._core.explain(token, int(written))
        except NotAuthenticatedError:
            return self._unauthenticated(request)
        except NotPermittedError:
            return self._denied(request)
        except (NotFoundError, InvalidCallError):
            return answers.error(public_codes.NOT_FOUND, message="There is no such decision.")
        return answers.ok({"success": True, "decision": decision_view(row)})

    def _unauthenticated(self, request: HttpRequest) -> HttpAnswer:
        self._gate.refused(SURFACE, "", "unauthenticated", request)
        return answers.error(public_codes.UNAUTHENTICATED, headers=_BEARER)

    def _denied(self, request: HttpRequest) -> HttpAnswer:
        self._gate.refused(SURFACE, "", "permission_denied", request)
        return answers.error(public_codes.PERMISSION_DENIED)


def decision_view(row: DecisionRow) -> dict[str, Any]:
    """One row of the policy log as JSON."""
    decision = row.decision
    return {
        "log_id": decision.log_id,
        "decision_id": decision.decision_id,
        "decided_at": answers.instant(decision.decided_at),
        "verdict": word(Verdict, decision.verdict),
        "action": word(Action, decision.action),
        "reason": word(ReasonCode, decision.reason),
        "error": _public_code(row),
        "explanation": decision.explanation,
        "risk_score": decision.risk_score,
        "event_type": word(EventType, row.event_type),
        "message_purpose": row.purpose,
        "phone": row.phone_masked,
        "account_id": row.account_id,
        "integration_id": row.integration_id,
        "instance_id": row.instance_id,
        "conversation_id": row.conversation_id,
        "message_id": row.message_id,
        "message_state": word(MessageState, row.message_state) if row.message_id else None,
        "caller": row.caller,
        "findings": [answers.finding_view(finding) for finding in decision.findings],
    }


def _public_code(row: DecisionRow) -> str | None:
    """The error code the caller was answered with; None if the request was not refused."""
    decision = row.decision
    if decision.action != Action.BLOCK:
        return None
    return answers.public_code(decision, send_api=not row.integration_id).code


def _limit(written: str) -> int | None:
    """The page size asked for; None if it cannot be honoured."""
    if not written:
        return DEFAULT_LIMIT
    if not (written.isascii() and written.isdigit() and len(written) < 6):
        return None
    limit = int(written)
    return limit if 1 <= limit <= LARGEST_LIMIT else None
