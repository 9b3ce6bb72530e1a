"""The built-in 3CX inbox of the demo: nothing leaves the product, and every event is taken. Pure.

What was forwarded is shown from the policy core's own outbox rows.
"""

from datetime import datetime

from sender.destinations.signed_event import Destination, Event
from sender.model import Exchange, HttpRequest, PostOutcome, PostResult


def build(event: Event, now: datetime) -> HttpRequest | None:
    """Nothing to post."""
    return None


def parse(exchange: Exchange, now: datetime) -> PostResult:
    """Taken, whatever came back: nothing was asked."""
    return TAKEN


TAKEN = PostResult(PostOutcome.TAKEN, "The built-in inbox took the event.", 200)
SANDBOX_INBOX = Destination("sandbox_inbox", build, parse)
