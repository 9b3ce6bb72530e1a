"""The format that 3CX endpoints and customer webhooks share: headers, signature, answers. Pure."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sender.model import Exchange, FailureKind, HttpRequest, PostOutcome, PostResult, TransportFailure
from sender.retry import retry_after_seconds


@dataclass(frozen=True, slots=True)
class Event:
    """One event to post. `body` is posted and signed as it stands; `signing_secret` is the key. `url` may hold a key.

    `business_number` is the phone system's number that it is for, where the destination knows numbers.
    """

    delivery_id: str
    url: str = field(repr=False)
    event_name: str
    body: bytes = field(repr=False)
    signing_secret: str = field(repr=False)
    business_number: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """One kind of address. `build` takes the event and now; it returns None if nothing leaves the product."""

    kind: str
    build: Callable[[Event, datetime], HttpRequest | None]
    parse: Callable[[Exchange, datetime], PostResult]


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=` and the hex HMAC-SHA256 over timestamp, a dot, and the raw body."""
    mac = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={mac.hexdigest()}"


def build(event: Event, now: datetime) -> HttpRequest:
    """A signed POST. The timestamp is `now` in UTC, ISO 8601, to the second."""
    timestamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        "Content-Type": "application/json",
        "X-WhatsApp-Gateway-Event": event.event_name,
        "X-WhatsApp-Gateway-Timestamp": timestamp,
        "X-WhatsApp-Gateway-Signature": signature(event.signing_secret, timestamp, event.body),
        "X-WhatsApp-Gateway-Delivery": event.delivery_id,
    }
    return HttpRequest("POST", event.url, headers, event.body)


_NEVER_BY_ITSELF = frozenset({FailureKind.ADDRESS_REFUSED, FailureKind.BAD_REQUEST})


def parse(exchange: Exchange, now: datetime) -> PostResult:
    """2xx is taken, 410 is gone, a refused address is blocked; everything else is to be tried again later."""
    if isinstance(exchange, TransportFailure):
        return _failure(exchange)
    status = exchange.status
    if 200 <= status < 300:
        return PostResult(PostOutcome.TAKEN, "The other side took the event.", status)
    if status == 410:
        return PostResult(PostOutcome.GONE, "The other side says that the address is gone.", status)
    if 300 <= status < 400:
        return PostResult(PostOutcome.RETRY, "The address redirects; redirects are not followed.", status)
    wait = retry_after_seconds(exchange.headers, now)
    return PostResult(PostOutcome.RETRY, f"The other side answered {status}.", status, wait)


def _failure(failure: TransportFailure) -> PostResult:
    if failure.kind in _NEVER_BY_ITSELF:
        reason = failure.detail or "it is not an allowed address"
        return PostResult(PostOutcome.BLOCKED, f"The address was refused: {reason}.")
    return PostResult(PostOutcome.RETRY, f"No answer came: {failure.kind.value.replace('_', ' ')}.")
