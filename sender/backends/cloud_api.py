"""Meta WhatsApp Cloud API: builds `/messages`, reads its answers by one literal table of error codes. Pure.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes, which
says to build on the code, not on HTTP status, subcode or title.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sender.backends.cloud_codes import CODES, GRAPH
from sender.backends.wire import (
    Backend,
    endpoint,
    json_body,
    json_object,
    member,
    phone_digits,
    probe_failure,
    result,
    text_of,
    transport_result,
    urlsplit_or_refuse,
)
from sender.model import (
    AttemptResult,
    Connection,
    Exchange,
    HttpAnswer,
    HttpRequest,
    InstanceState,
    Recipient,
    TransportFailure,
    UnaddressableError,
)

DEFAULT_BASE_URL = "https://graph.facebook.com"
DEFAULT_VERSION = "v25.0"
"""Graph API version used if the connection's base URL names none."""

_VERSION = re.compile(r"/v[0-9]+\.[0-9]+/?$", re.ASCII)
_BUSINESS_SCOPED_ID = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}", re.ASCII)
_LONGEST_CALLBACK_DATA = 512
_LARGEST_CODE = 99_999_999
_KEPT_BASES = 4_096

_PROBED_FIELDS = "status,quality_rating,health_status"
_DEAD_STATES = frozenset({"BANNED", "DELETED", "DISCONNECTED", "MIGRATED", "UNVERIFIED", "OFFLINE"})


def build(connection: Connection, recipient: Recipient, text: str, correlation_id: str) -> HttpRequest:
    """`POST {base}/{version}/{number id}/messages`; `correlation_id` comes back in every status webhook."""
    body: dict[str, object] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **_address(recipient),
        "type": "text",
        "text": {"body": text, "preview_url": False},
    }
    if correlation_id:
        body["biz_opaque_callback_data"] = correlation_id[:_LONGEST_CALLBACK_DATA]
    return HttpRequest(
        method="POST",
        url=endpoint(_base(connection.base_url), connection.external_name, "messages"),
        headers={"Authorization": f"Bearer {connection.api_token}", "Content-Type": "application/json"},
        body=json_body(body),
    )


@lru_cache(_KEPT_BASES)
def _base(base_url: str) -> str:
    base = base_url or DEFAULT_BASE_URL
    path = urlsplit_or_refuse(base).path
    return base if _VERSION.search(path) else f"{base.rstrip('/')}/{DEFAULT_VERSION}"


def _address(recipient: Recipient) -> dict[str, str]:
    if recipient.phone:
        # Without `+`, the business's own country code may be put in front: another person.
        return {"to": f"+{phone_digits(recipient.phone)}"}
    if recipient.business_scoped_id:
        if not _BUSINESS_SCOPED_ID.fullmatch(recipient.business_scoped_id):
            raise UnaddressableError("The business-scoped id has an unknown form.")
        return {"recipient": recipient.business_scoped_id}
    raise UnaddressableError("The Cloud API reaches people by phone number or business-scoped id only.")


def parse(exchange: Exchange) -> AttemptResult:
    """What the answer to `/messages` means."""
    if isinstance(exchange, TransportFailure):
        return transport_result("cloud", exchange)
    if not exchange.complete:
        return result(CODES["cloud_answer_cut_short"], exchange)
    body = json_object(exchange.body)
    error = body.get("error")
    if isinstance(error, dict) and isinstance(error.get("code"), int):
        return graph_error_result(error, exchange)
    if 200 <= exchange.status < 300:
        return _success(exchange, body)
    return result(CODES[_code_without_error(exchange.status)], exchange)


def _success(answer: HttpAnswer, body: Mapping[str, Any]) -> AttemptResult:
    messages = body.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    message_id = text_of(member(first, "id"))
    if not message_id:
        return result(CODES["cloud_no_message_id"], answer)
    return result(CODES["cloud_accepted"], answer, external_message_id=message_id)


def graph_error_result(error: Mapping[str, Any], answer: HttpAnswer, prefix: str = "cloud") -> AttemptResult:
    """What a Graph error object means. `prefix` begins the code, for back ends that hand Graph errors on."""
    code = int(error["code"])
    shown = code if 0 <= code <= _LARGEST_CODE else "other"
    row = GRAPH.get(200 if 200 <= code <= 299 else code)
    if row is None:
        doubtful = answer.status >= 500 or error.get("is_transient") is True
        row = CODES["cloud_unknown_code_transient" if doubtful else "cloud_unknown_code"]
    found = result(row, answer, detail=text_of(member(error, "error_data", "details")))
    return AttemptResult(
        outcome=found.outcome,
        code=f"{prefix}_{shown}",
        explanation=found.explanation,
        consequence=found.consequence,
        retry_after_seconds=found.retry_after_seconds,
        http_status=found.http_status,
    )


def _code_without_error(status: int) -> str:
    if status in {401, 403}:
        return "cloud_unauthorized"
    if status == 429:
        return "cloud_rate_limited"
    if status >= 500:
        return "cloud_server_failed"
    return "cloud_redirected" if 300 <= status < 400 else "cloud_refused"


def build_probe(connection: Connection) -> HttpRequest:
    """`GET {base}/{version}/{phone number id}?fields=…`."""
    return HttpRequest(
        method="GET",
        url=f"{endpoint(_base(connection.base_url), connection.external_name)}?fields={_PROBED_FIELDS}",
        headers={"Authorization": f"Bearer {connection.api_token}"},
    )


def parse_probe(exchange: Exchange) -> InstanceState:
    """The number's state. Source: https://developers.facebook.com/docs/whatsapp/cloud-api/health-status."""
    if isinstance(exchange, TransportFailure):
        return probe_failure(exchange)
    body = json_object(exchange.body)
    status = text_of(body.get("status"))
    health = text_of(member(body, "health_status", "can_send_message"))
    if 200 <= exchange.status < 300 and (status or health):
        return _state(status, health)
    code = member(body, "error", "code")
    row = GRAPH.get(200 if isinstance(code, int) and 200 <= code <= 299 else code)
    if row is not None and row.consequence.name == "PAUSE_INSTANCE":
        return InstanceState("close", row.code)
    return InstanceState("", f"http_{exchange.status}", "The Cloud API did not tell the number's state.")


def _state(status: str, health: str) -> InstanceState:
    if health == "BLOCKED":
        return InstanceState("close", "blocked")
    if status == "PENDING":
        return InstanceState("connecting", "pending")
    if status in _DEAD_STATES:
        return InstanceState("close", status.lower())
    # FLAGGED and RESTRICTED lower what may be started, not what may be answered.
    return InstanceState("open", "limited" if health == "LIMITED" else (status or health).lower())


CLOUD_API = Backend("cloud_api", build, parse, build_probe, parse_probe)
