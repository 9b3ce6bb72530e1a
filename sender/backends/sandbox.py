"""The sandbox: an instance inside the product, without any network. Special numbers play failures. Pure.

`build` describes a request to nowhere, `play` answers it, `parse` reads that answer: as elsewhere.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sender.backends.wire import (
    Backend,
    Row,
    json_body,
    json_object,
    phone_digits,
    result,
    text_of,
    transport_result,
)
from sender.model import (
    AttemptResult,
    Connection,
    Exchange,
    FailureKind,
    HttpAnswer,
    HttpRequest,
    InstanceState,
    Outcome,
    Receipt,
    Recipient,
    TransportFailure,
    UnaddressableError,
)

SCHEME = "sandbox:"
"""Requests that begin with this never reach the network."""


@dataclass(frozen=True, slots=True)
class Play:
    """What a special number plays: `name` is documented, `delay_seconds` passes before the answer."""

    name: str
    delay_seconds: float
    meaning: str


ORDINARY = Play("ordinary", 0.0, "Accepted; receipts sent, delivered and read follow.")

SPECIAL_NUMBERS: Mapping[str, Play] = {
    "0001": Play("unknown_outcome", 0.0, "No answer comes: nobody knows whether the message was sent."),
    "0002": Play("refused", 0.0, "The instance refuses the message."),
    "0003": Play("slow", 6.0, "Accepted after 6 seconds; receipts sent, delivered and read follow."),
    "0004": Play("undeliverable", 0.0, "Accepted; a receipt that says failed follows."),
}
"""The last four digits of a person's number, and what they play. Every other number is ordinary."""

_HERE = "docs/backends/capabilities.md"

CODES: Mapping[str, Row] = {
    row.code: row
    for row in (
        Row("sandbox_accepted", Outcome.ACCEPTED, "The sandbox took the message.", _HERE),
        Row(
            "sandbox_refused",
            Outcome.REJECTED,
            "The sandbox refused the message, as this number always does.",
            _HERE,
        ),
    )
}
"""What every answer means."""

_UNDELIVERABLE = "sandbox_undeliverable"
_GOOD_RECEIPTS = (Receipt("sent", 0.0), Receipt("delivered", 0.2), Receipt("read", 1.0))
_BAD_RECEIPTS = (Receipt("sent", 0.0), Receipt("failed", 0.2, _UNDELIVERABLE))


def build(connection: Connection, recipient: Recipient, text: str, correlation_id: str) -> HttpRequest:
    """A request to nowhere that says who is written to and under which id."""
    if recipient.phone:
        address = f"+{phone_digits(recipient.phone)}"
    elif recipient.lid or recipient.business_scoped_id:
        address = recipient.lid or recipient.business_scoped_id
    else:
        raise UnaddressableError("No recipient was named.")
    body = {"to": address, "id": external_id(connection.instance_id, correlation_id)}
    return HttpRequest("POST", f"{SCHEME}{connection.instance_id}", body=json_body(body))


def external_id(instance_id: str, correlation_id: str) -> str:
    """`sbx_…`: the same for the same message at the same instance."""
    return "sbx_" + hashlib.sha256(f"{instance_id}\0{correlation_id}".encode()).hexdigest()[:24]


def play(request: HttpRequest) -> tuple[float, Exchange]:
    """Seconds to wait, and what the exchange then ends in."""
    wanted = json_object(request.body)
    play = SPECIAL_NUMBERS.get(text_of(wanted.get("to"))[-4:], ORDINARY)
    if play.name == "unknown_outcome":
        return play.delay_seconds, TransportFailure(FailureKind.TIMED_OUT, bytes_written=True)
    status = 400 if play.name == "refused" else 201
    body = json_body({"id": text_of(wanted.get("id")), "play": play.name})
    return play.delay_seconds, HttpAnswer(status, {}, body)


def parse(exchange: Exchange) -> AttemptResult:
    """What the sandbox's answer means."""
    if isinstance(exchange, TransportFailure):
        return transport_result("sandbox", exchange)
    if exchange.status >= 400:
        return result(CODES["sandbox_refused"], exchange)
    body = json_object(exchange.body)
    found = result(CODES["sandbox_accepted"], exchange, external_message_id=text_of(body.get("id")))
    return AttemptResult(
        outcome=found.outcome,
        code=found.code,
        explanation=found.explanation,
        external_message_id=found.external_message_id,
        http_status=found.http_status,
        receipts=_BAD_RECEIPTS if body.get("play") == "undeliverable" else _GOOD_RECEIPTS,
    )


def build_probe(connection: Connection) -> HttpRequest:
    """A request to nowhere."""
    return HttpRequest("GET", f"{SCHEME}{connection.instance_id}")


def parse_probe(exchange: Exchange) -> InstanceState:
    """Always open."""
    return InstanceState("open", "sandbox")


SANDBOX = Backend("sandbox", build, parse, build_probe, parse_probe)
