"""WAHA: builds `sendText`, reads its answers by one literal table. Pure.

Facts from https://waha.devlike.pro/docs and https://github.com/devlikeapro/waha; see each row's source.
"""

from collections.abc import Mapping

from sender.backends.waha_chats import CHATS, chat_id, message_id
from sender.backends.wire import (
    Backend,
    Row,
    endpoint,
    json_body,
    json_object,
    json_value,
    member,
    probe_failure,
    result,
    text_of,
    transport_result,
)
from sender.model import (
    AttemptResult,
    Connection,
    Consequence,
    Exchange,
    HttpAnswer,
    HttpRequest,
    InstanceState,
    Outcome,
    Recipient,
    TransportFailure,
    UnaddressableError,
)

_DOCS = "https://waha.devlike.pro/docs/how-to"
_ISSUES = "https://github.com/devlikeapro/waha/issues"

_A, _R, _U = Outcome.ACCEPTED, Outcome.REJECTED, Outcome.UNKNOWN
_PAUSE = Consequence.PAUSE_INSTANCE

CODES: Mapping[str, Row] = {
    row.code: row
    for row in (
        Row("waha_accepted", _A, "The session took the message.", f"{_DOCS}/send-messages/"),
        Row(
            "waha_accepted_without_id",
            _A,
            "The session took the message but did not name it.",
            f"{_ISSUES}/1083",
        ),
        Row(
            "waha_unreadable_answer",
            _U,
            "The answer was a success that cannot be read; the message may have been sent.",
            f"{_DOCS}/send-messages/",
        ),
        Row("waha_bad_request", _R, "The form of the request was refused.", f"{_DOCS}/send-messages/"),
        Row("waha_unauthorized", _R, "The API key was refused.", f"{_DOCS}/security/", _PAUSE),
        Row("waha_session_missing", _R, "The session does not exist.", f"{_DOCS}/sessions/", _PAUSE),
        Row("waha_route_missing", _R, "The base URL does not lead to WAHA.", f"{_DOCS}/send-messages/"),
        Row(
            "waha_session_not_working",
            _R,
            "The session is not connected to WhatsApp.",
            f"{_DOCS}/sessions/",
            Consequence.INSTANCE_CLOSED,
        ),
        Row(
            "waha_not_supported",
            _R,
            "The session's engine cannot do this.",
            "https://waha.devlike.pro/docs/how-to/engines/",
        ),
        Row(
            "waha_not_on_whatsapp",
            _R,
            "WhatsApp knows no account under this number.",
            f"{_ISSUES}/2094",
            Consequence.NOT_ON_WHATSAPP,
        ),
        Row(
            "waha_reach_out_lock",
            _R,
            "WhatsApp lets this number write in existing chats only (error 463).",
            "https://github.com/tulir/whatsmeow/issues/1197",
            Consequence.REPLIES_ONLY,
        ),
        Row(
            "waha_rate_limited",
            _R,
            "Something in front of the session limits the rate.",
            "https://www.rfc-editor.org/rfc/rfc6585#section-4",
            Consequence.SLOW_INSTANCE,
        ),
        Row(
            "waha_redirected",
            _R,
            "The base URL leads elsewhere; redirects are not followed.",
            "https://www.rfc-editor.org/rfc/rfc9110#section-15.4",
        ),
        Row("waha_refused", _R, "The request was refused.", f"{_DOCS}/send-messages/"),
        Row(
            "waha_server_failed",
            _U,
            "The session failed; the message may have been sent.",
            f"{_DOCS}/send-messages/",
        ),
        Row(
            "waha_answer_cut_short",
            _U,
            "The answer was cut short or too large; the message may have been sent.",
            f"{_DOCS}/send-messages/",
        ),
    )
}
"""What every answer means."""

_BY_STATUS: Mapping[int, str] = {
    400: "waha_bad_request",
    401: "waha_unauthorized",
    429: "waha_rate_limited",
}

_STATES: Mapping[str, str] = {
    "WORKING": "open",
    "STARTING": "connecting",
    "SCAN_QR_CODE": "connecting",
    "PASSKEY_REQUIRED": "connecting",
    "PASSKEY_CONFIRMATION_REQUIRED": "connecting",
    "STOPPED": "close",
    "FAILED": "close",
}


def build(connection: Connection, recipient: Recipient, text: str, correlation_id: str) -> HttpRequest:
    """`POST {base}/api/sendText`. `correlation_id` is unused: only the engine can make a message id."""
    if not connection.external_name:
        raise UnaddressableError("The connection lacks the session's name.")
    body = {"session": connection.external_name, "chatId": chat_id(recipient), "text": text}
    return HttpRequest(
        method="POST",
        url=endpoint(connection.base_url, "api", "sendText"),
        headers={"X-Api-Key": connection.api_token, "Content-Type": "application/json"},
        body=json_body(body),
    )


def parse(exchange: Exchange) -> AttemptResult:
    """What the answer to `sendText` means."""
    if isinstance(exchange, TransportFailure):
        return transport_result("waha", exchange)
    if not exchange.complete:
        return result(CODES["waha_answer_cut_short"], exchange)
    if 200 <= exchange.status < 300:
        return _success(exchange)
    body = json_object(exchange.body)
    words = _words(body)
    return result(CODES[_code(exchange.status, body, words)], exchange, detail=words)


def _success(answer: HttpAnswer) -> AttemptResult:
    body = json_value(answer.body)
    if answer.body.strip() and not isinstance(body, dict):
        return result(CODES["waha_unreadable_answer"], answer)
    name = message_id(body)
    code = "waha_accepted" if name else "waha_accepted_without_id"
    return result(CODES[code], answer, external_message_id=name)


def _words(body: object) -> str:
    words = (member(body, "exception", "message"), member(body, "message"), member(body, "error"))
    return next((text for text in map(text_of, words) if text), "")


def _code(status: int, body: dict[str, object], words: str) -> str:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status == 404:
        return "waha_route_missing" if words.startswith("Cannot ") else "waha_session_missing"
    if status == 422:
        return "waha_session_not_working" if "expected" in body else "waha_not_supported"
    if status >= 500:
        return _code_500(words)
    return "waha_redirected" if 300 <= status < 400 else "waha_refused"


def _code_500(words: str) -> str:
    if "no LID found" in words:
        return "waha_not_on_whatsapp"
    return "waha_reach_out_lock" if "error 463" in words else "waha_server_failed"


def build_probe(connection: Connection) -> HttpRequest:
    """`GET {base}/api/sessions/{session}`."""
    return HttpRequest(
        method="GET",
        url=endpoint(connection.base_url, "api", "sessions", connection.external_name),
        headers={"X-Api-Key": connection.api_token},
    )


def parse_probe(exchange: Exchange) -> InstanceState:
    """The session's state; `reach_out_lock` as reason means open, for existing chats only."""
    if isinstance(exchange, TransportFailure):
        return probe_failure(exchange)
    body = json_object(exchange.body)
    status = text_of(body.get("status"))
    if 200 <= exchange.status < 300 and status:
        locked = member(body, "me", "reachoutTimelock", "isActive") is True
        state = _STATES.get(status, "close")
        return InstanceState(state, "reach_out_lock" if locked and state == "open" else status.lower())
    if exchange.status == 401:
        return InstanceState("close", "credentials_refused")
    if exchange.status == 404 and not _words(body).startswith("Cannot "):
        return InstanceState("close", "session_missing")
    return InstanceState("", f"http_{exchange.status}", "The back end did not tell the session's state.")


WAHA = Backend("waha", build, parse, build_probe, parse_probe, CHATS)
