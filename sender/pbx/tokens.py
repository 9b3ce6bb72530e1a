"""Tokens of phone systems: fetched once, kept while they work, fetched anew when they do not.

A phone system lets one token of an application count at a time. So all who ask for one share it, and only one asks.
When a token ends is not believed from `expires_in`, which older builds give in minutes: it ends when the phone system
says 401.
https://github.com/3cx/xapi-tutorial shows the exchange.
"""

import asyncio
from collections import OrderedDict
from urllib.parse import urlencode

from sender.egress import Door
from sender.model import FailureKind, HttpRequest, TransportFailure
from sender.pbx.facts import OddAnswerError, PbxConnection, read_json

TOKEN_SECONDS = 10.0
_MOST_KEPT = 1_000
_LONGEST_TOKEN = 4_000
_Key = tuple[str, str, str]


class PbxError(Exception):
    """The phone system could not be asked, or did not answer as it should. The text is a short stable word."""

    @property
    def reason(self) -> str:
        """The word."""
        return str(self)


class Tokens:
    """The tokens of all phone systems this process asks."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._kept: OrderedDict[_Key, str] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[str]] = {}

    async def token(self, connection: PbxConnection, *, instead_of: str = "") -> str:
        """A token. One that was turned away is named in `instead_of`: another one is fetched, unless somebody did so
        meanwhile. Raises `PbxError`.
        """
        key = (connection.base_url, connection.client_id, connection.client_secret)
        kept = self._kept.get(key)
        if kept is not None and kept != instead_of:
            self._kept.move_to_end(key)
            return kept
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._fetch(connection))
            asking.add_done_callback(lambda done: self._keep(key, done))
        # Whoever leaves does not take the answer away from the others.
        return await asyncio.shield(asking)

    def _keep(self, key: _Key, done: "asyncio.Task[str]") -> None:
        self._asking.pop(key, None)
        if done.cancelled() or done.exception() is not None:
            self._kept.pop(key, None)
            return
        self._kept[key] = done.result()
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)

    async def _fetch(self, connection: PbxConnection) -> str:
        form = {
            "client_id": connection.client_id,
            "client_secret": connection.client_secret,
            "grant_type": "client_credentials",
        }
        request = HttpRequest(
            "POST",
            f"{connection.base_url}/connect/token",
            {"Content-Type": "application/x-www-form-urlencoded"},
            urlencode(form).encode(),
        )
        answer = await self._door.exchange(request, timeout_seconds=TOKEN_SECONDS, before_write=nothing)
        if isinstance(answer, TransportFailure):
            raise PbxError(word_of(answer.kind))
        if answer.status in {400, 401, 403}:
            raise PbxError("credentials_refused")
        if answer.status != 200:
            raise PbxError(f"token_http_{answer.status}")
        return _token_in(answer.body)


def _token_in(body: bytes) -> str:
    try:
        found = read_json(body)
    except OddAnswerError as odd:
        raise PbxError(f"token_{odd}") from None
    token = found.get("access_token") if isinstance(found, dict) else None
    # It goes into a header: whatever could end a line, or is no token, must not.
    if (
        not isinstance(token, str)
        or not 0 < len(token) <= _LONGEST_TOKEN
        or not token.isascii()
        or not token.isprintable()
    ):
        raise PbxError("token_missing")
    return token


def nothing() -> None:
    """What is done before a question is written: reading needs no leave."""


def word_of(kind: FailureKind) -> str:
    """How an exchange failed, as a word for people who set this up."""
    return {FailureKind.CONNECT_REFUSED: "unreachable", FailureKind.CONNECT_TIMEOUT: "unreachable"}.get(
        kind, kind.value
    )
