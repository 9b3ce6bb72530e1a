"""The calls of `SenderService`: convert, do, convert back."""

import contextlib
from collections.abc import AsyncIterator

import grpc

from hubgate.sender.v1 import sender_service_pb2 as pb
from hubgate.sender.v1 import sender_service_pb2_grpc as pb_grpc
from sender.deliver import LONGEST_ATTEMPT_SECONDS, PROBE_SECONDS, Delivery
from sender.guard import Guard
from sender.look_up import LOOK_UP_SECONDS, LookUps
from sender.model import AttemptResult, Outcome, WithheldError
from sender.pbx.desk import PbxDesk
from sender.post import LONGEST_POST_SECONDS, Posting
from sender.reach import CHECK_SECONDS, Reaching
from sender.record import Recorder
from sender.rpc.convert import (
    ALONE,
    Batch,
    answer_to,
    connection_from,
    event_from,
    guard_entry_from,
    look_up_answer_to,
    look_up_from,
    order_from,
    post_answer_to,
    probe_answer_to,
)
from sender.rpc.deliver_stream import DeliverStream
from sender.rpc.errors import CallRefusedError, Context, abort
from sender.rpc.pbx import PbxMethods

_ANSWER_TIME_SECONDS = 0.25
"""Kept back from a caller's deadline, so that the answer still reaches it."""


class SenderServicer(PbxMethods, pb_grpc.SenderServiceServicer):
    """Serves the policy core."""

    def __init__(
        self,
        delivery: Delivery,
        posting: Posting,
        look_ups: LookUps,
        reaching: Reaching,
        guard: Guard,
        recorder: Recorder,
        pbx: PbxDesk,
    ) -> None:
        super().__init__(pbx)
        self._delivery = delivery
        self._posting = posting
        self._look_ups = look_ups
        self._reaching = reaching
        self._guard = guard
        self._recorder = recorder
        self._streams: set[DeliverStream] = set()

    def end_streams(self) -> None:
        """Ends the streams of attempts once what is under way is answered, and every watching."""
        self._pbx.close()
        for stream in self._streams:
            stream.end()

    async def DeliverMessage(
        self, request: pb.DeliverMessageRequest, context: Context
    ) -> pb.DeliverMessageResponse:
        """One attempt."""
        seconds = _seconds_left(context, LONGEST_ATTEMPT_SECONDS)
        return answer_to(await self._attempt(request, ALONE, 0, seconds))

    async def _attempt(
        self, request: pb.DeliverMessageRequest, batch: Batch, place: int, seconds: float
    ) -> AttemptResult:
        try:
            order = order_from(request, batch, place)
        except WithheldError as withheld:
            return AttemptResult(Outcome.NOT_ATTEMPTED, withheld.code, withheld.explanation)
        return await self._delivery.deliver(order, seconds)

    async def DeliverStream(
        self, request_iterator: AsyncIterator[pb.DeliverStreamRequest], context: Context
    ) -> AsyncIterator[pb.DeliverStreamResponse]:
        """Many attempts, answered one by one."""
        stream = DeliverStream(self._attempt, LONGEST_ATTEMPT_SECONDS)
        self._streams.add(stream)
        try:
            async with contextlib.aclosing(stream.answers(request_iterator)) as answers:
                async for answer in answers:
                    yield answer
        except CallRefusedError as refused:
            await abort(context, refused)
        finally:
            self._streams.discard(stream)

    async def PostEvent(self, request: pb.PostEventRequest, context: Context) -> pb.PostEventResponse:
        """One try to post an event."""
        seconds = _seconds_left(context, LONGEST_POST_SECONDS)
        return post_answer_to(
            await self._posting.post(request.destination_kind, event_from(request), seconds)
        )

    async def ProbeInstance(
        self, request: pb.ProbeInstanceRequest, context: Context
    ) -> pb.ProbeInstanceResponse:
        """An instance's state."""
        seconds = _seconds_left(context, PROBE_SECONDS)
        return probe_answer_to(await self._delivery.probe(connection_from(request.connection), seconds))

    async def LookUpMessage(
        self, request: pb.LookUpMessageRequest, context: Context
    ) -> pb.LookUpMessageResponse:
        """What a back end has of a chat."""
        seconds = _seconds_left(context, LOOK_UP_SECONDS)
        try:
            found = await self._look_ups.look_up(look_up_from(request), seconds)
        except CallRefusedError as refused:
            await abort(context, refused)
        self._recorder.look_up(request.connection.backend, found)
        return look_up_answer_to(found)

    async def CheckDestination(
        self, request: pb.CheckDestinationRequest, context: Context
    ) -> pb.CheckDestinationResponse:
        """Whether an address answers."""
        seconds = _seconds_left(context, CHECK_SECONDS)
        found = await self._reaching.reach(request.url, seconds, gateway=request.gateway)
        return pb.CheckDestinationResponse(
            failure=found.failure, http_status=found.http_status, is_gateway=found.is_gateway
        )

    async def Guard(
        self, request_iterator: AsyncIterator[pb.GuardRequest], context: Context
    ) -> AsyncIterator[pb.GuardResponse]:
        """Obeys what a policy core says, and says which version it obeys."""
        speaker_id = ""
        try:
            async for said in request_iterator:
                first = not speaker_id
                if first:
                    speaker_id = _speaker_of(said)
                    self._recorder.guard_stream(speaker_id, opened=True)
                entries = [guard_entry_from(wire) for wire in said.guarded]
                self._guard.hear(
                    speaker_id, said.version, entries, snapshot=said.snapshot, first_on_stream=first
                )
                yield pb.GuardResponse(version=said.version)
        except CallRefusedError as refused:
            await abort(context, refused)
        finally:
            if speaker_id:
                self._recorder.guard_stream(speaker_id, opened=False)


def _speaker_of(said: pb.GuardRequest) -> str:
    if not said.speaker_id:
        raise CallRefusedError(
            grpc.StatusCode.INVALID_ARGUMENT, "SPEAKER_MISSING", "A guard must say who speaks."
        )
    return said.speaker_id


def _seconds_left(context: Context, longest: float) -> float:
    left = context.time_remaining()
    return longest if left is None else max(min(longest, left - _ANSWER_TIME_SECONDS), 0.0)
