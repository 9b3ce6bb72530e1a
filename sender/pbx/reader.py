"""Reads a phone system's API: one question at a time, under a token that is renewed once if it is turned away."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from sender.egress import Door
from sender.model import HttpRequest, TransportFailure
from sender.pbx.facts import (
    ChatMessage,
    OddAnswerError,
    Participant,
    ParticipantRef,
    PbxConnection,
    Segment,
    Trunk,
    read_chat_message,
    read_json,
    read_participant,
    read_participants,
    read_rows,
    read_segment,
    read_trunk,
)
from sender.pbx.tokens import PbxError, Tokens, nothing, word_of

READ_SECONDS = 15.0
PAGE_ROWS = 200
MOST_PAGES = 100
MOST_TRUNKS = 500
MOST_CHAT_MESSAGES = 2_000

_SEGMENT_FIELDS = (
    "SegmentId,SegmentStartTime,SegmentEndTime,CallAnswered,SrcCallerNumber,SrcExternal,"
    "SrcParticipantId,DstDn"
)
_CHAT_FIELDS = (
    "MessageId,ConversationId,Message,SenderParticipantNo,SenderParticipantName,SenderParticipantPhone,"
    "Recipients,TimeSent"
)


class PbxReader:
    """Reads, and nothing else: no question of these changes anything in a phone system."""

    def __init__(self, door: Door, tokens: Tokens) -> None:
        self._door = door
        self._tokens = tokens

    async def participants(self, connection: PbxConnection) -> list[Participant]:
        """Every party there is now. Raises `PbxError`."""
        found = await self._get(connection, "/callcontrol")
        try:
            return read_participants(found)
        except OddAnswerError as odd:
            raise PbxError(str(odd)) from None

    async def participant(self, connection: PbxConnection, ref: ParticipantRef) -> Participant | None:
        """One party as it is now; None if it is gone. Raises `PbxError`."""
        path = f"/callcontrol/{quote(ref.dn, safe='')}/participants/{ref.participant_id}"
        try:
            return read_participant(await self._get(connection, path), ref.dn)
        except OddAnswerError as odd:
            raise PbxError(str(odd)) from None
        except PbxError as error:
            if error.reason == "http_404":
                return None
            raise

    async def segments(self, connection: PbxConnection, since: datetime) -> tuple[list[Segment], bool]:
        """The history's segments that began at `since` or later, the earliest first, and whether those are all.

        Raises `PbxError`; also for one segment that cannot be read, because it may be the one that was answered.
        """
        wanted = f"$filter=SegmentStartTime ge {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        wanted += f"&$orderby=SegmentStartTime,SegmentId&$select={_SEGMENT_FIELDS}"
        found: list[Segment] = []
        seen: set[str] = set()
        for page in range(MOST_PAGES):
            rows = await self._rows(connection, "CallHistoryView", wanted, page)
            try:
                segments = [read_segment(row) for row in rows]
            except OddAnswerError as odd:
                raise PbxError(str(odd)) from None
            # A row that was added while pages are read moves others onto the next page.
            fresh = [each for each in segments if not each.segment_id or each.segment_id not in seen]
            seen.update(each.segment_id for each in fresh)
            found += fresh
            if len(rows) < PAGE_ROWS:
                return found, True
        return found, False

    async def trunks(self, connection: PbxConnection) -> list[Trunk]:
        """Trunks that can carry messages. Raises `PbxError`."""
        found: list[Trunk] = []
        for page in range(MOST_PAGES):
            rows = await self._rows(connection, "Trunks", "", page)
            found += [trunk for row in rows if (trunk := read_trunk(row)) is not None]
            if len(rows) < PAGE_ROWS or len(found) >= MOST_TRUNKS:
                break
        return found[:MOST_TRUNKS]

    async def chats(self, connection: PbxConnection, since: datetime) -> list[ChatMessage]:
        """What was written in chats at `since` or later, the earliest first. Raises `PbxError`."""
        wanted = f"$filter=TimeSent ge {since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}&$orderby=TimeSent"
        wanted += f"&$select={_CHAT_FIELDS}"
        found: dict[str, ChatMessage] = {}
        for page in range(MOST_PAGES):
            rows = await self._rows(connection, "ChatMessagesHistoryView", wanted, page)
            messages = [message for row in rows if (message := read_chat_message(row)) is not None]
            found.update((each.message_id, each) for each in messages)
            if len(rows) < PAGE_ROWS or len(found) >= MOST_CHAT_MESSAGES:
                break
        return list(found.values())[:MOST_CHAT_MESSAGES]

    async def _rows(
        self, connection: PbxConnection, view: str, wanted: str, page: int
    ) -> list[dict[str, Any]]:
        """One page. Where the next one is, is counted: an address in an answer is not followed."""
        query = f"$top={PAGE_ROWS}&$skip={page * PAGE_ROWS}" + (f"&{wanted}" if wanted else "")
        found = await self._get(connection, f"/xapi/v1/{view}?{quote(query, safe='$=&,:')}")
        try:
            return read_rows(found)
        except OddAnswerError as odd:
            raise PbxError(str(odd)) from None

    async def _get(self, connection: PbxConnection, path: str) -> Any:
        token = await self._tokens.token(connection)
        try:
            return await self._ask(connection, path, token)
        except PbxError as error:
            if error.reason != "http_401":
                raise
        # The token has ended, or another application's start has ended it.
        token = await self._tokens.token(connection, instead_of=token)
        return await self._ask(connection, path, token)

    async def _ask(self, connection: PbxConnection, path: str, token: str) -> Any:
        request = HttpRequest("GET", connection.base_url + path, {"Authorization": f"Bearer {token}"})
        answer = await self._door.exchange(request, timeout_seconds=READ_SECONDS, before_write=nothing)
        if isinstance(answer, TransportFailure):
            raise PbxError(word_of(answer.kind))
        if answer.status != 200:
            raise PbxError(f"http_{answer.status}")
        if not answer.complete:
            raise PbxError("answer_cut_short")
        try:
            return read_json(answer.body)
        except OddAnswerError as odd:
            raise PbxError(str(odd)) from None
