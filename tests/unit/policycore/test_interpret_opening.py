"""When a message opens its window: by the provider's clock, bounded by ours, whatever the edge's clock says."""

from datetime import UTC, datetime, timedelta

import pytest

from policycore.inbound import ChatKind, InboundEvent, Message, PersonRef
from policycore.interpret import opened_at

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def event(provider_time: datetime | None) -> InboundEvent:
    """A person's message."""
    return InboundEvent(
        "key",
        Message("in-1", 1, "Hello"),
        chat=ChatKind.DIRECT,
        person=PersonRef(phone="+966500000001"),
        provider_time=provider_time,
    )


@pytest.mark.parametrize(
    ("provider", "received", "opened"),
    [
        (NOW - HOUR, NOW - SECOND, NOW - HOUR),
        (NOW + HOUR, NOW - SECOND, NOW - SECOND),
        (None, NOW - SECOND, NOW - SECOND),
        (NOW - 2 * SECOND, NOW - 25 * HOUR, NOW - 2 * SECOND),
        (NOW - 2 * SECOND, NOW - timedelta(minutes=5), NOW - 2 * SECOND),
        (NOW + HOUR, NOW + timedelta(minutes=5), NOW),
        (None, NOW - 25 * HOUR, NOW),
        (None, NOW + timedelta(minutes=5), NOW),
    ],
    ids=[
        "provider's clock",
        "provider ahead",
        "provider silent",
        "edge a day behind",
        "edge five minutes behind",
        "provider and edge ahead",
        "provider silent, edge behind",
        "provider silent, edge ahead",
    ],
)
def test_opened_at(provider: datetime | None, received: datetime, opened: datetime) -> None:
    assert opened_at(event(provider), received, NOW) == opened
