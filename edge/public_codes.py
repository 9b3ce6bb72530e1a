"""The one table from reason codes to what callers see: public code, HTTP status, plain sentence.

Pure. A reason this version does not know falls back to its verdict, so that an older edge still answers
sensibly.
"""

from dataclasses import dataclass
from typing import Final

from edge.words import ReasonCode, Verdict


@dataclass(frozen=True, slots=True)
class PublicCode:
    """One error a caller can meet. `code` and `http_status` are stable; `sentence` is for people."""

    code: str
    http_status: int
    sentence: str


INVALID_3CX_WEBHOOK: Final = PublicCode("invalid_3cx_webhook", 401, "Invalid 3CX webhook request.")
INVALID_WHATSAPP_WEBHOOK: Final = PublicCode(
    "invalid_whatsapp_webhook", 401, "Invalid WhatsApp webhook request."
)
HANDSHAKE_REFUSED: Final = PublicCode("invalid_whatsapp_webhook", 403, "Invalid WhatsApp webhook request.")
INVALID_API_KEY: Final = PublicCode("invalid_api_key", 401, "The API key is missing or not valid.")
REVOKED_API_KEY: Final = PublicCode("revoked_api_key", 401, "The API key was revoked.")
UNAUTHENTICATED: Final = PublicCode("unauthenticated", 401, "A valid bearer token is required.")
PERMISSION_DENIED: Final = PublicCode("permission_denied", 403, "The token lacks the right to do this.")
NOT_FOUND: Final = PublicCode("not_found", 404, "There is nothing at this address.")
METHOD_NOT_ALLOWED: Final = PublicCode("method_not_allowed", 405, "This address does not take this method.")
BAD_REQUEST: Final = PublicCode("bad_request", 400, "The request is malformed.")
INTERNAL_ERROR: Final = PublicCode(
    "internal_error", 500, "The gateway failed on this request; the failure is logged."
)
PAYLOAD_TOO_LARGE: Final = PublicCode(
    "payload_too_large", 413, "The request body is larger than this address takes."
)
INVALID_JSON: Final = PublicCode("invalid_json", 400, "The body is not a JSON object in UTF-8.")
VALIDATION_ERROR: Final = PublicCode(
    "validation_error", 422, "The request lacks a field or has one of the wrong kind."
)
GATEWAY_SEND_FAILED: Final = PublicCode(
    "gateway_send_failed", 502, "The WhatsApp instance refused the message."
)
SERVICE_UNAVAILABLE: Final = PublicCode(
    "service_unavailable",
    503,
    "The gateway cannot decide safely right now. Nothing was sent; please try again.",
)

_OFF: Final = "The 3CX module is not enabled for this account."
_UNSUPPORTED: Final = "The event_type is missing or not supported."
_PHONE: Final = (
    "The phone is not a possible number; write it in international form, for example +966500000000."
)
_PURPOSE: Final = (
    "The message_purpose is missing or not allowed. Allowed are transactional, operational, support, "
    "internal_team and authentication."
)
_SUPPRESSED: Final = "This person opted out or is suppressed; the customer can write START / ابدأ to lift it."
_WINDOW: Final = "The conversation window is closed: the person must have written, and not too long ago."
_PAUSED: Final = "Sending is paused."
_THROTTLED: Final = "Too many messages are waiting for their turn."
_QUOTA: Final = "The fair use of this period is spent."
_INSTANCE: Final = "The WhatsApp instance is not connected."

_WINDOW_CLOSED: Final = PublicCode("conversation_window_closed", 409, _WINDOW)
_PAUSE: Final = PublicCode("sending_paused", 403, _PAUSED)
_RATE: Final = PublicCode("sending_throttled", 429, _THROTTLED)
_QUOTA_SPENT: Final = PublicCode("quota_exceeded", 429, _QUOTA)
_PURPOSE_REFUSED: Final = PublicCode("message_purpose_not_allowed", 422, _PURPOSE)
_NOT_CONNECTED: Final = PublicCode("instance_not_connected", 503, _INSTANCE)
POLICY_VIOLATION: Final = PublicCode("policy_violation", 403, "The message breaks a rule of this gateway.")
WEBHOOK_RATE_LIMITED: Final = PublicCode(
    "webhook_rate_limited", 429, "This integration makes more requests a minute than it may."
)

BY_REASON: Final[dict[int, PublicCode]] = {
    ReasonCode.MODULE_NOT_ENABLED: PublicCode("module_not_enabled", 403, _OFF),
    ReasonCode.UNSUPPORTED_EVENT_TYPE: PublicCode("unsupported_event_type", 422, _UNSUPPORTED),
    ReasonCode.OUTBOUND_DISABLED: PublicCode(
        "outbound_disabled", 403, "Replies are off for this integration."
    ),
    ReasonCode.CALL_EVENTS_DISABLED: PublicCode(
        "call_events_disabled", 403, "Call events are off for this integration."
    ),
    ReasonCode.MISSING_PHONE: PublicCode("missing_phone", 422, "The request names no phone."),
    ReasonCode.INVALID_PHONE: PublicCode("invalid_phone", 422, _PHONE),
    ReasonCode.MISSING_MESSAGE_TEXT: PublicCode("missing_message_text", 422, "The message has no text."),
    ReasonCode.MESSAGE_TOO_LONG: PublicCode("message_too_long", 422, "The message is over 4,096 characters."),
    ReasonCode.ATTACHMENTS_NOT_SUPPORTED: PublicCode(
        "attachments_not_supported", 422, "Files cannot be sent; nothing of the message was sent."
    ),
    ReasonCode.PURPOSE_NOT_ALLOWED: _PURPOSE_REFUSED,
    ReasonCode.PURPOSE_MISSING: _PURPOSE_REFUSED,
    ReasonCode.RECIPIENT_SUPPRESSED: PublicCode("recipient_suppressed", 403, _SUPPRESSED),
    ReasonCode.WINDOW_NEVER_OPENED: _WINDOW_CLOSED,
    ReasonCode.WINDOW_EXPIRED: _WINDOW_CLOSED,
    ReasonCode.PLATFORM_PAUSED: _PAUSE,
    ReasonCode.ACCOUNT_PAUSED: _PAUSE,
    ReasonCode.INSTANCE_PAUSED: _PAUSE,
    ReasonCode.INTEGRATION_PAUSED: _PAUSE,
    ReasonCode.PERSON_PAUSED: _PAUSE,
    ReasonCode.CONTENT_MARKETING: PublicCode(
        "policy_violation", 403, "The text reads as marketing, which its purpose does not allow."
    ),
    # A running cool-down is answered 200 `skipped`; as the reason of a refusal it is a matter of pace.
    ReasonCode.COOL_DOWN_ACTIVE: _RATE,
    ReasonCode.DAILY_QUOTA_SPENT: _QUOTA_SPENT,
    ReasonCode.MONTHLY_QUOTA_SPENT: _QUOTA_SPENT,
    ReasonCode.INSTANCE_NOT_CONNECTED: _NOT_CONNECTED,
    ReasonCode.INSTANCE_UNKNOWN: _NOT_CONNECTED,
    ReasonCode.INSTANCE_NOT_FOR_TEST_KEY: _NOT_CONNECTED,
    ReasonCode.INSTANCE_RATE_LIMITED: _RATE,
    ReasonCode.PAIR_RATE_LIMITED: _RATE,
    ReasonCode.FACTS_UNREADABLE: SERVICE_UNAVAILABLE,
    ReasonCode.CLOCK_UNTRUSTED: SERVICE_UNAVAILABLE,
    ReasonCode.WEBHOOK_RATE_LIMITED: WEBHOOK_RATE_LIMITED,
    ReasonCode.SIGNATURE_REPLAYED: INVALID_3CX_WEBHOOK,
    ReasonCode.IDEMPOTENCY_KEY_REUSED: PublicCode(
        "idempotency_key_reused", 409, "This idempotency key belongs to a request with another body."
    ),
    ReasonCode.OVERLOADED: SERVICE_UNAVAILABLE,
}
"""What each reason means to a caller of the 3CX webhook, and to everyone else unless SEND_API says
otherwise.
"""

_INVALID_INSTANCE: Final = PublicCode("invalid_instance", 404, "This API key reaches no such instance.")

SEND_API: Final[dict[int, PublicCode]] = {
    ReasonCode.INSTANCE_UNKNOWN: _INVALID_INSTANCE,
    ReasonCode.INSTANCE_NOT_FOR_TEST_KEY: _INVALID_INSTANCE,
    ReasonCode.PURPOSE_MISSING: PublicCode(
        "message_purpose_required", 422, "The field message_purpose is required."
    ),
}
"""Reasons the send API names otherwise, in the order in which they go before every other reason there."""

_FALLBACK: Final[dict[int, PublicCode]] = {
    Verdict.DENY: POLICY_VIOLATION,
    Verdict.DEFER: SERVICE_UNAVAILABLE,
}


def for_reason(reason: int, verdict: int, send_api: bool = False) -> PublicCode:
    """The public code for a refusal. Unknown reasons fall back to their verdict, unknown verdicts to
    unavailable.
    """
    if send_api and reason in SEND_API:
        return SEND_API[reason]
    known = BY_REASON.get(reason)
    return known if known is not None else _FALLBACK.get(verdict, SERVICE_UNAVAILABLE)


THREECX_CODES: Final[tuple[PublicCode, ...]] = tuple(
    dict.fromkeys(
        (INVALID_3CX_WEBHOOK, PAYLOAD_TOO_LARGE, INVALID_JSON, GATEWAY_SEND_FAILED, *BY_REASON.values())
    )
)
"""Every error of the 3CX webhook."""

_WEBHOOK_ONLY: Final = frozenset(
    {
        "invalid_3cx_webhook",
        "webhook_rate_limited",
        "module_not_enabled",
        "unsupported_event_type",
        "outbound_disabled",
        "call_events_disabled",
    }
)

SEND_API_CODES: Final[tuple[PublicCode, ...]] = tuple(
    dict.fromkeys(
        (
            INVALID_API_KEY,
            REVOKED_API_KEY,
            VALIDATION_ERROR,
            *SEND_API.values(),
            *(code for code in THREECX_CODES if code.code not in _WEBHOOK_ONLY),
        )
    )
)
"""Every error of the send API."""
