"""How long the other side asked to wait: reads `Retry-After`. Pure.

Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3 (seconds, or an HTTP date).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_SECONDS = 86_400.0
"""Nobody makes a message wait for more than a day by asking to."""

_MOST_DIGITS = 9


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, 0 to a day, or None if the header is absent or cannot be read.

    `headers` has lower-case names. An HTTP date is measured from `now`, or else from the `date` header.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.isdigit():
        seconds = float(value) if len(value) <= _MOST_DIGITS else LONGEST_WAIT_SECONDS
        return min(seconds, LONGEST_WAIT_SECONDS)
    moment = _http_date(value)
    reference = now or _http_date(headers.get("date", ""))
    if moment is None or reference is None:
        return None
    return min(max((moment - reference).total_seconds(), 0.0), LONGEST_WAIT_SECONDS)


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
