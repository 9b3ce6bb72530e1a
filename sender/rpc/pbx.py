"""The calls that concern phone systems: convert, do, convert back."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from hubgate.sender.v1 import threecx_api_pb2 as pb
from sender.model import WithheldError
from sender.pbx.desk import PbxDesk
from sender.pbx.facts import PbxConnection
from sender.pbx.tokens import PbxError
from sender.pbx.watch import News, WatchOrder
from sender.rpc.errors import CallRefusedError, Context, abort

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class PbxMethods:
    """Watching and reading phone systems."""

    def __init__(self, pbx: PbxDesk) -> None:
        self._pbx = pbx

    async def WatchPbx(
        self, request: pb.WatchPbxRequest, context: Context
    ) -> AsyncIterator[pb.WatchPbxResponse]:
        """News of a phone system until the call is ended."""
        order = _order_from(request)
        if order is None:
            await abort(
                context,
                CallRefusedError(
                    grpc.StatusCode.INVALID_ARGUMENT, "MARK_MISSING", "A watching must say what is known."
                ),
            )
        watching = self._pbx.watch(order)
        try:
            async with contextlib.aclosing(watching) as news:
                async for each in news:
                    yield _news_to(each)
        except WithheldError as withheld:
            refused = CallRefusedError(
                grpc.StatusCode.RESOURCE_EXHAUSTED, withheld.code.upper(), withheld.explanation
            )
            await abort(context, refused)

    async def ReadPbxTrunks(
        self, request: pb.ReadPbxTrunksRequest, context: Context
    ) -> pb.ReadPbxTrunksResponse:
        """Trunks that can carry messages."""
        try:
            trunks = await self._pbx.trunks(_connection_from(request.connection))
        except PbxError as error:
            return pb.ReadPbxTrunksResponse(failure=error.reason)
        except WithheldError as withheld:
            return pb.ReadPbxTrunksResponse(failure=withheld.code)
        found = [
            pb.PbxTrunk(
                number=trunk.number,
                name=trunk.name,
                provider=trunk.provider,
                enabled=trunk.enabled,
                webhook_url=trunk.webhook_url,
                did_numbers=trunk.did_numbers,
            )
            for trunk in trunks
        ]
        return pb.ReadPbxTrunksResponse(trunks=found)

    async def ReadPbxChats(
        self, request: pb.ReadPbxChatsRequest, context: Context
    ) -> pb.ReadPbxChatsResponse:
        """What was written in chats."""
        try:
            chats = await self._pbx.chats(_connection_from(request.connection), _moment_from(request.since))
        except PbxError as error:
            return pb.ReadPbxChatsResponse(failure=error.reason)
        except WithheldError as withheld:
            return pb.ReadPbxChatsResponse(failure=withheld.code)
        found = [
            pb.PbxChatMessage(
                message_id=each.message_id,
                conversation_id=each.conversation_id,
                text=each.text.encode("utf-8", "replace").decode(),
                sender_number=each.sender_number,
                sender_name=each.sender_name,
                phones=each.phones,
                sent_at=_timestamp(each.sent_at),
            )
            for each in chats
        ]
        return pb.ReadPbxChatsResponse(messages=found)


def _moment_from(wire: Timestamp) -> datetime:
    return _BEGINNING + timedelta(seconds=wire.seconds, microseconds=wire.nanos // 1_000)


def _connection_from(wire: pb.PbxConnection) -> PbxConnection:
    return PbxConnection(wire.integration_id, wire.base_url.rstrip("/"), wire.client_id, wire.client_secret)


def _order_from(request: pb.WatchPbxRequest) -> WatchOrder | None:
    if not request.HasField("known_until"):
        return None
    known = _moment_from(request.known_until)
    return WatchOrder(_connection_from(request.connection), known, request.every_extension_listed)


def _news_to(news: News) -> pb.WatchPbxResponse:
    return pb.WatchPbxResponse(
        state=news.state,
        reason=news.reason,
        missed=[
            pb.MissedPbxCall(
                caller=call.caller,
                began_at=_timestamp(call.began_at),
                ended_at=_timestamp(call.ended_at),
                reached_dn=call.reached_dn,
                from_history=call.from_history,
            )
            for call in news.missed
        ],
        known_until=_timestamp(news.known_until),
    )


def _timestamp(moment: datetime) -> Timestamp:
    wire = Timestamp()
    wire.FromDatetime(moment)
    return wire
