"""Has senders watch and read phone systems; our words to wire types and back.

One phone system is always asked through the same sender, as long as that one is there: it keeps the token, of which
only one counts at a time.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import grpc
import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from hubgate.sender.v1 import threecx_api_pb2 as pb
from policycore.dispatch.links import SenderLink
from policycore.dispatch.sender_wire import to_timestamp
from policycore.pbx import HeldWatch, MessagingTrunk, MissedCall, PbxNews, PbxTarget, SenderGone
from policycore.pbx_authors import WrittenInChat

SILENCE_SECONDS = 20.0
"""A sender speaks every 5 s; one that has not for so long does not watch any more."""

READ_SECONDS = 12.0
CHAT_SECONDS = 60.0

_LONGEST_URL = 2_048
_LONGEST_WORD = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)

_log = structlog.get_logger(__name__)


class PbxSenderPool:
    """Implements `PbxSenders` over `links`, which somebody else opens and closes."""

    def __init__(self, links: Sequence[SenderLink], *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._links = links
        self._silence_seconds = silence_seconds

    async def watch(self, held: HeldWatch) -> AsyncGenerator[PbxNews, None]:
        """News until the sender ends it. Raises `SenderGone`."""
        link = self._choose(held.target.integration_id)
        request = pb.WatchPbxRequest(
            connection=_connection_to(held.target),
            known_until=to_timestamp(held.known_until),
            every_extension_listed=held.every_extension_listed,
        )
        call = link.stub.WatchPbx(request, metadata=link.metadata)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._silence_seconds):
                        response = await call.read()
                except TimeoutError:
                    raise SenderGone("sender_silent") from None
                except grpc.aio.AioRpcError as error:
                    raise SenderGone(f"sender_{error.code().name.lower()}") from None
                if not isinstance(response, pb.WatchPbxResponse):
                    return
                yield _news_from(response)
        finally:
            call.cancel()

    async def trunks(self, target: PbxTarget) -> tuple[Sequence[MessagingTrunk], str]:
        """Trunks that can carry messages, and why none could be read. Never raises for one that failed."""
        try:
            link = self._choose(target.integration_id)
            request = pb.ReadPbxTrunksRequest(connection=_connection_to(target))
            answer = await link.stub.ReadPbxTrunks(request, timeout=READ_SECONDS, metadata=link.metadata)
        except SenderGone as gone:
            return (), str(gone)
        except grpc.aio.AioRpcError as error:
            return (), f"sender_{error.code().name.lower()}"
        return [_trunk_from(each) for each in answer.trunks], _word(answer.failure, 64)

    async def chats(self, target: PbxTarget, since: datetime) -> tuple[Sequence[WrittenInChat], str]:
        """What was written in chats, and why that could not be read. Never raises for one that failed."""
        try:
            link = self._choose(target.integration_id)
            request = pb.ReadPbxChatsRequest(connection=_connection_to(target), since=to_timestamp(since))
            answer = await link.stub.ReadPbxChats(request, timeout=CHAT_SECONDS, metadata=link.metadata)
        except SenderGone as gone:
            return (), str(gone)
        except grpc.aio.AioRpcError as error:
            return (), f"sender_{error.code().name.lower()}"
        return [_chat_from(each) for each in answer.messages], _word(answer.failure, 64)

    def _choose(self, integration_id: str) -> SenderLink:
        reachable = [link for link in self._links if link.obedient()]
        if not reachable:
            raise SenderGone("no_sender")
        return max(reachable, key=lambda link: sha256(f"{link.address}\0{integration_id}".encode()).digest())


def _connection_to(target: PbxTarget) -> pb.PbxConnection:
    return pb.PbxConnection(
        integration_id=target.integration_id,
        base_url=target.base_url,
        client_id=target.client_id,
        client_secret=target.client_secret,
    )


def _news_from(response: pb.WatchPbxResponse) -> PbxNews:
    missed = tuple(
        MissedCall(
            _word(call.caller, 64),
            _moment(call.began_at),
            _moment(call.ended_at),
            _word(call.reached_dn, 32),
            call.from_history,
        )
        for call in response.missed
    )
    return PbxNews(
        _word(response.state, 16), _word(response.reason, 64), missed, _moment(response.known_until)
    )


def _trunk_from(wire: pb.PbxTrunk) -> MessagingTrunk:
    return MessagingTrunk(
        _word(wire.number, 32),
        _word(wire.name, _LONGEST_WORD),
        _word(wire.provider, _LONGEST_WORD),
        wire.enabled,
        _word(wire.webhook_url, _LONGEST_URL),
        tuple(_word(did, 64) for did in wire.did_numbers),
    )


def _chat_from(wire: pb.PbxChatMessage) -> WrittenInChat:
    return WrittenInChat(
        _word(wire.message_id, 64),
        _word(wire.conversation_id, 64),
        _word(wire.text, 4_096),
        _word(wire.sender_number, 32),
        _word(wire.sender_name, _LONGEST_WORD),
        tuple(_word(phone, 64) for phone in wire.phones),
        _moment(wire.sent_at),
    )


def _word(text: str, longest: int) -> str:
    """What a phone system wrote, as it can be kept: PostgreSQL takes no NUL, and columns have lengths."""
    return text.replace("\x00", "")[:longest]


def _moment(wire: Timestamp) -> datetime:
    seconds = min(max(wire.seconds, 0), int((_LATEST - _EPOCH).total_seconds()))
    return _EPOCH + timedelta(seconds=seconds, microseconds=min(max(wire.nanos, 0), 999_999_999) // 1_000)
