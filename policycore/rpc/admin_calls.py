"""Owns what every method of the AdminService shares: errors as statuses, pages, field masks, moments."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from policycore.errors import Malformed
from policycore.registry.pages import PageRequest, page_request
from policycore.rpc.failures import answering
from policycore.rpc.times import to_datetime, to_timestamp
from policycore.usecases.contention import giving_way

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")
Wire = TypeVar("Wire")

Readers = Mapping[str, Callable[[Wire], Mapping[str, object]]]
"""For each field of a message that may be set: how it is read, as columns and their values."""

_BY_TIME = (int, str)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)


def answered(
    method: Callable[[Servicer, Request, Any], Awaitable[Response]],
) -> Callable[[Servicer, Request, Any], Awaitable[Response]]:
    """Wraps a unary method, which is one transaction: it gives way to others, and whatever it raises becomes a
    status with google.rpc.ErrorInfo.
    """

    @wraps(method)
    async def wrapped(servicer: Servicer, request: Request, context: Any) -> Response:
        async with answering(context):
            return await giving_way(lambda: method(servicer, request, context))
        raise AssertionError("answering always ends the call")

    return wrapped


def read_page(request: Any, key_types: tuple[type, ...] = _BY_TIME) -> PageRequest:
    """The page a List request asks for. Errors: `Malformed`."""
    return page_request(request.page_size, request.page_token, key_types)


def read_all(wire: Wire, readers: Readers[Wire]) -> dict[str, Any]:
    """Every field that may be set, as columns."""
    return read_named(wire, list(readers), readers)


def read_named(wire: Wire, fields: Sequence[str], readers: Readers[Wire]) -> dict[str, Any]:
    """The named fields, as columns. Errors: `Malformed` if none is named, or one cannot be set."""
    if not fields:
        raise Malformed("fields", f"must name what to change: {', '.join(readers)}.")
    values: dict[str, Any] = {}
    for field in fields:
        reader = readers.get(field)
        if reader is None:
            raise Malformed("fields", f"{field[:64]!r} cannot be set; these can: {', '.join(readers)}.")
        values.update(reader(wire))
    return values


def plain(*names: str) -> dict[str, Callable[[Any], Mapping[str, object]]]:
    """Readers of fields that are called like their columns and need no conversion."""

    def reader(name: str) -> Callable[[Any], Mapping[str, object]]:
        return lambda wire: {name: getattr(wire, name)}

    return {name: reader(name) for name in names}


def optional(*names: str) -> dict[str, Callable[[Any], Mapping[str, object]]]:
    """Readers of fields that may be unset."""

    def reader(name: str) -> Callable[[Any], Mapping[str, object]]:
        return lambda wire: {name: getattr(wire, name) if wire.HasField(name) else None}

    return {name: reader(name) for name in names}


def read_moment(field: str, wire: Timestamp) -> datetime:
    """A moment. Errors: `Malformed` if no calendar has it."""
    try:
        moment = to_datetime(wire)
    except OverflowError:
        raise Malformed(field, "is no moment of this calendar.") from None
    return min(moment, _LATEST)


def read_span(field: str, wire: Duration) -> timedelta:
    """A length of time. Errors: `Malformed` if it is out of all bounds."""
    try:
        return timedelta(seconds=wire.seconds, microseconds=wire.nanos // 1000)
    except OverflowError:
        raise Malformed(field, "is too long.") from None


def set_moment(wire: Timestamp, moment: datetime | None) -> None:
    """Sets a Timestamp field, unless there is no moment."""
    if moment is not None:
        wire.CopyFrom(to_timestamp(moment))
