"""What back ends share: their shape, JSON reading that never raises, transport failures. Pure."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import msgspec

from sender.model import (
    AttemptResult,
    Connection,
    Consequence,
    Exchange,
    FailureKind,
    HttpAnswer,
    HttpRequest,
    InstanceState,
    LookUp,
    LookUpResult,
    Outcome,
    Recipient,
    TransportFailure,
    UnaddressableError,
)
from sender.retry import retry_after_seconds

_NO_COUNTRY = "+89"
"""Pseudonyms begin so, and no country's numbers do; see docs/decisions/0034-pseudonyms.md."""
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{5,20}", re.ASCII)
_DETAIL_LIMIT = 120
_KEPT_ENDPOINTS = 4_096
_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class ChatView:
    """How a back end shows what it has of one chat: the requests that ask for it, and what each answer says.

    Both are pure; only `build` raises, `UnaddressableError`.
    """

    build: Callable[[LookUp], Sequence[HttpRequest]]
    parse: Callable[[Exchange, LookUp], LookUpResult]


@dataclass(frozen=True, slots=True)
class Backend:
    """One WhatsApp delivery provider. All four are pure; only builders raise, `UnaddressableError`.

    `chats` is None if it shows no messages to whom does not know their id.
    """

    name: str
    build: Callable[[Connection, Recipient, str, str], HttpRequest]
    parse: Callable[[Exchange], AttemptResult]
    build_probe: Callable[[Connection], HttpRequest]
    parse_probe: Callable[[Exchange], InstanceState]
    chats: ChatView | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a code table: what a provider's answer means. `source` is where that is known from."""

    code: str
    outcome: Outcome
    explanation: str
    source: str
    consequence: Consequence = Consequence.NONE
    retry_after_seconds: float | None = None


def result(
    row: Row,
    answer: HttpAnswer | None = None,
    *,
    external_message_id: str = "",
    detail: str = "",
) -> AttemptResult:
    """The row applied to an answer. A wait that the answer asks for goes before the row's own."""
    asked = None
    if answer is not None and "retry-after" in answer.headers:
        asked = retry_after_seconds(answer.headers)
    return AttemptResult(
        outcome=row.outcome,
        code=row.code,
        explanation=f"{row.explanation} ({shortened(detail)})" if detail else row.explanation,
        external_message_id=external_message_id,
        consequence=row.consequence,
        retry_after_seconds=asked if asked is not None else row.retry_after_seconds,
        http_status=answer.status if answer else 0,
    )


_BEFORE_WRITING: Mapping[FailureKind, tuple[str, str, Consequence]] = {
    FailureKind.BAD_REQUEST: (
        "bad_request",
        "The connection's settings do not make a valid HTTP request.",
        Consequence.PAUSE_INSTANCE,
    ),
    FailureKind.ADDRESS_REFUSED: (
        "address_refused",
        "The address of the back end is not allowed.",
        Consequence.PAUSE_INSTANCE,
    ),
    FailureKind.DNS_FAILED: ("dns_failed", "The back end's name could not be resolved.", Consequence.NONE),
    FailureKind.CONNECT_REFUSED: ("unreachable", "The back end could not be connected to.", Consequence.NONE),
    FailureKind.CONNECT_TIMEOUT: (
        "connect_timeout",
        "The back end did not accept the connection in time.",
        Consequence.NONE,
    ),
    FailureKind.TLS_FAILED: ("tls_failed", "No trusted TLS connection could be made.", Consequence.NONE),
}

_AFTER_WRITING: Mapping[FailureKind, tuple[str, str]] = {
    FailureKind.TIMED_OUT: ("timeout", "No answer came in time; the message may have been sent."),
    FailureKind.CONNECTION_LOST: (
        "connection_lost",
        "The connection broke after writing; the message may have been sent.",
    ),
}


def transport_result(backend: str, failure: TransportFailure) -> AttemptResult:
    """A failure without an answer: REJECTED if no byte was written, otherwise UNKNOWN."""
    if failure.bytes_written:
        code, explanation = _AFTER_WRITING.get(
            failure.kind,
            ("protocol_error", "The answer was not HTTP; the message may have been sent."),
        )
        return AttemptResult(Outcome.UNKNOWN, f"{backend}_{code}", explanation)
    code, explanation, consequence = _BEFORE_WRITING.get(
        failure.kind, ("unreachable", "The exchange ended before anything was written.", Consequence.NONE)
    )
    return AttemptResult(Outcome.REJECTED, f"{backend}_{code}", explanation, consequence=consequence)


def probe_failure(failure: TransportFailure) -> InstanceState:
    """The state could not be asked."""
    words = failure.kind.value.replace("_", " ")
    why = f"{words}: {failure.detail}" if failure.detail else words
    return InstanceState(
        "", failure.kind.value, f"The back end could not be asked for the instance's state ({why})."
    )


def json_value(body: bytes) -> Any:
    """The body as JSON, or None if it is not JSON. Never raises, however deep or odd the body."""
    try:
        return _DECODER.decode(body)
    except (ValueError, RecursionError):
        return _odd_json_value(body)


def _odd_json_value(body: bytes) -> Any:
    """What only the forgiving reader takes: other encodings, halves of a surrogate pair, numbers without end."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def json_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; empty if it is anything else."""
    value = json_value(body)
    return value if isinstance(value, dict) else {}


def member(value: object, *path: str) -> Any:
    """What stands at `path` in nested objects, or None."""
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def text_of(value: object) -> str:
    """The value if it is text, otherwise nothing."""
    return value if isinstance(value, str) else ""


def shortened(detail: str) -> str:
    """A vendor's words on one line, cut, with long runs of digits (phone numbers) masked."""
    one_line = " ".join(detail.split())
    masked = re.sub(r"\d{7,}", lambda found: "…" + found.group()[-2:], one_line)
    return masked[:_DETAIL_LIMIT]


def phone_digits(phone: str) -> str:
    """E.164 without `+`. Raises `UnaddressableError` if `phone` is not E.164, or stands for somebody without one."""
    if not _E164.fullmatch(phone):
        raise UnaddressableError("The phone number is not E.164.")
    if phone.startswith(_NO_COUNTRY):
        raise UnaddressableError("The number is a pseudonym of the gateway's, and no phone.")
    return phone[1:]


def lid_digits(lid: str) -> str:
    """A linked id, digits only. Raises `UnaddressableError` if it is anything else."""
    if not _DIGITS.fullmatch(lid):
        raise UnaddressableError("The linked id is not made of digits.")
    return lid


@lru_cache(_KEPT_ENDPOINTS)
def endpoint(base_url: str, *path: str) -> str:
    """`base_url` and the path's parts, quoted. Raises `UnaddressableError` if the base is no plain URL."""
    parts = urlsplit_or_refuse(base_url)
    if parts.query or parts.fragment:
        raise UnaddressableError("The base URL must not have a query or a fragment.")
    if any(part in {"", ".", ".."} for part in path):
        raise UnaddressableError("The connection lacks the back end's name of the instance.")
    return "/".join([base_url.rstrip("/"), *(quote(part, safe="") for part in path)])


def urlsplit_or_refuse(base_url: str) -> SplitResult:
    """The parts of a URL. Raises `UnaddressableError` if it has no scheme or host."""
    try:
        parts = urlsplit(base_url)
    except ValueError as error:
        raise UnaddressableError("The base URL cannot be read.") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise UnaddressableError("The base URL is not an http or https URL.")
    return parts


def json_body(value: Mapping[str, object]) -> bytes:
    """Compact JSON, UTF-8."""
    return _ENCODER.encode(value)
