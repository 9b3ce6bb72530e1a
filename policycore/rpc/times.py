"""Moments and durations on the wire and in the core."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_timestamp(moment: datetime) -> Timestamp:
    """An aware datetime as a Timestamp."""
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def set_timestamp(field: Timestamp, moment: datetime) -> None:
    """Writes an aware datetime into a Timestamp that stands in a message already."""
    since = moment - _EPOCH
    field.seconds = since.days * 86_400 + since.seconds
    field.nanos = since.microseconds * 1_000


def to_datetime(stamp: Timestamp) -> datetime:
    """A Timestamp as a UTC datetime. Raises OverflowError for years nobody lives in."""
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)


def nearest_datetime(stamp: Timestamp) -> datetime:
    """A Timestamp as a UTC datetime between 1970 and 9999; what lies outside becomes the nearer end.

    For moments that others wrote: a clock that is beyond all bounds must not stop what it stands beside.
    """
    try:
        moment = to_datetime(stamp)
        return moment if _EPOCH <= moment <= _LATEST else min(max(moment, _EPOCH), _LATEST)
    except OverflowError:
        return _EPOCH if stamp.seconds < 0 else _LATEST


def to_duration(seconds: float) -> Duration:
    """Seconds as a Duration, to the microsecond."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    return Duration(seconds=whole, nanos=micros * 1_000)


def to_seconds(duration: Duration) -> float:
    """A Duration in seconds."""
    return duration.seconds + duration.nanos / 1e9
