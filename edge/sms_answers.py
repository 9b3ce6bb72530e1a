"""What 3CX hears as the customer of a provider of text messages: accepted, or refused with the reason.

A message that was committed is never answered with 5xx, for nobody knows whether a phone system repeats those. The
shape has its id in both places in which connectors that work put it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.model import Outcome
from edge.public_codes import PublicCode
from edge.words import Action, MessageState, ReasonCode

UNKNOWN_NUMBER: Final = PublicCode(
    "unknown_business_number", 422, "The number in `from` stands for no WhatsApp number of this integration."
)
NOT_SENT_IN_TIME: Final = PublicCode(
    "not_sent_in_time", 409, "The message was not sent in time and will not be."
)
SEND_FAILED: Final = PublicCode("gateway_send_failed", 422, "The WhatsApp instance refused the message.")
NOT_CONNECTED: Final = PublicCode("instance_not_connected", 409, "The WhatsApp instance is not connected.")

_CAME_TO_NOTHING: Final[dict[int, PublicCode]] = {
    MessageState.REJECTED: SEND_FAILED,
    MessageState.FAILED: SEND_FAILED,
    MessageState.LAPSED: NOT_SENT_IN_TIME,
}
_SMS_CODES: Final[dict[int, PublicCode]] = {
    ReasonCode.INSTANCE_UNKNOWN: UNKNOWN_NUMBER,
    ReasonCode.INSTANCE_NOT_CONNECTED: NOT_CONNECTED,
    ReasonCode.INSTANCE_NOT_FOR_TEST_KEY: NOT_CONNECTED,
}
"""Reasons that mean something else here: a phone system names numbers, and a refusal is no outage."""

CODES: Final[tuple[PublicCode, ...]] = tuple(
    dict.fromkeys(
        (
            public_codes.PAYLOAD_TOO_LARGE,
            public_codes.INVALID_JSON,
            *_CAME_TO_NOTHING.values(),
            *(
                _SMS_CODES.get(reason, public)
                for reason, public in public_codes.BY_REASON.items()
                if reason not in (ReasonCode.SIGNATURE_REPLAYED, ReasonCode.IDEMPOTENCY_KEY_REUSED)
            ),
        )
    )
)
"""Every error but the 401, which looks as everywhere."""


def submission(outcome: Outcome, from_number: str, to: str, now: float) -> HttpAnswer:
    """The answer to a reply. `now` in Unix seconds turns instants into Retry-After."""
    if outcome.decision.action == Action.BLOCK:
        return _refused(outcome, now)
    message = outcome.message
    failure = _CAME_TO_NOTHING.get(message.state) if message is not None else None
    if failure is not None and message is not None:
        return error(failure, detail=message.error_text, log_id=outcome.decision.log_id)
    # Waiting, handed out, unknown: recorded. Whatever becomes of it comes back as a line in the chat.
    message_id = message.message_id if message is not None else outcome.decision.decision_id
    data = {
        "record_type": "message",
        "direction": "outbound",
        "type": "SMS",
        "id": message_id,
        "payload": {"id": message_id},
        "from": {"phone_number": from_number},
        "to": [{"phone_number": to, "status": "queued"}],
    }
    return HttpAnswer(200, msgspec.json.encode({"data": data}), "ok")


def error(
    public: PublicCode, *, detail: str = "", log_id: int = 0, retry_after: int | None = None
) -> HttpAnswer:
    """A refusal in the shape of a provider of text messages; 429 and 503 always say when to come again."""
    said: dict[str, Any] = {"code": public.code, "title": public.sentence}
    if detail:
        said["detail"] = detail
    body: dict[str, Any] = {"errors": [said]}
    if log_id:
        body["log_id"] = log_id
    headers: tuple[tuple[str, str], ...] = ()
    if retry_after is None and public.http_status in (429, 503):
        retry_after = answers.RETRY_AFTER_UNAVAILABLE
    if retry_after is not None and public.http_status in (429, 503):
        headers = (("retry-after", str(retry_after)),)
    return HttpAnswer(public.http_status, msgspec.json.encode(body), public.code, headers)


def unavailable(retry_after_seconds: float | None = None) -> HttpAnswer:
    """The policy core cannot be asked right now, and nothing was accepted."""
    wait = None if retry_after_seconds is None else max(1, round(retry_after_seconds))
    return error(public_codes.SERVICE_UNAVAILABLE, retry_after=wait)


def _refused(outcome: Outcome, now: float) -> HttpAnswer:
    decision = outcome.decision
    found: Mapping[int, str] = {
        each.reason: each.explanation for each in decision.findings if not each.shadow
    }
    if ReasonCode.INSTANCE_UNKNOWN in found:
        # What is wrong with the connection goes before all that follows from it, such as a window that is not there.
        return error(UNKNOWN_NUMBER, log_id=decision.log_id)
    public = _SMS_CODES.get(decision.reason) or answers.public_code(decision, False)
    return error(
        public,
        detail=decision.explanation,
        log_id=decision.log_id,
        retry_after=answers.retry_after(decision, now),
    )
