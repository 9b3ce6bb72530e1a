"""The servicer of PolicyService: identity, conversion, use case; nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter

from hubgate.policy.v1 import policy_service_pb2 as pb
from hubgate.policy.v1 import policy_service_pb2_grpc
from policycore.errors import Malformed, NotFound, Unavailable
from policycore.metrics import Metrics
from policycore.model import Source
from policycore.reading import ConfigView, PolicyReads, RefusalCount
from policycore.reasons import ReasonCode, Verdict
from policycore.registry.errors import NotPermittedError
from policycore.registry.rights import CallerKind, Identity
from policycore.registry.snapshot import Snapshot
from policycore.rpc.convert import answer_to_wire, command_from_wire, message_to_wire, set_answer
from policycore.rpc.convert_crm import look_up_to_wire, report_from_wire
from policycore.rpc.convert_events import report_from_wire as events_from_wire
from policycore.rpc.convert_log import event_to_wire, record_to_wire
from policycore.rpc.credentials import credentials_to_wire
from policycore.rpc.failures import answering
from policycore.rpc.identity import current_identity
from policycore.rpc.submit_stream import serve_items
from policycore.rpc.times import nearest_datetime, to_duration
from policycore.usecases.command import Decided
from policycore.usecases.crm_reports import CrmReports
from policycore.usecases.gateway_lines import GatewayLines
from policycore.usecases.look_up_contact import ContactLookUp
from policycore.usecases.record_events import EventRecorder
from policycore.usecases.submit import Submitter, sms_key

HEARTBEAT_SECONDS = 1.0
EVENT_HEARTBEAT_SECONDS = 10.0
_EVENT_POLL_SECONDS = 0.25
_EVENT_PAGE = 200
_STALE_SECONDS = 3.0
_UNPARSED_SHOWN = 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyUseCases:
    """What the servicer calls."""

    reads: PolicyReads
    config: ConfigView
    submitter: Submitter
    recorder: EventRecorder
    lines: GatewayLines
    metrics: Metrics
    monotonic: Callable[[], float]
    reports: CrmReports
    contacts: ContactLookUp


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """See `policy_service.proto`; every method says there what it does.

    Once `leaving` is set, streams of submissions end as soon as they have answered what they have read.
    """

    def __init__(self, use_cases: PolicyUseCases, leaving: asyncio.Event | None = None) -> None:
        self._use = use_cases
        self._leaving = leaving
        # Finding a counter by its labels costs more than counting.
        self._counters: dict[tuple[Verdict, ReasonCode], Counter] = {}

    # --- submitting
    # ----------------------------------------------------------------------------------------------

    async def Submit(self, request: pb.SubmitRequest, context: Any) -> pb.SubmitResponse:
        async with answering(context):
            remaining = context.time_remaining()
            timeout = 10.0 if remaining is None else remaining
            return answer_to_wire(await self._submit(request, current_identity(), timeout))
        raise AssertionError("answering always ends the call")

    async def SubmitStream(
        self, request_iterator: AsyncIterator[pb.SubmitStreamRequest], context: Any
    ) -> AsyncIterator[pb.SubmitStreamResponse]:
        identity = current_identity()

        def submit(request: pb.SubmitRequest, timeout: float) -> Awaitable[Decided]:
            return self._submit(request, identity, timeout)

        async for answers in serve_items(request_iterator, submit, set_answer, self._leaving):
            yield answers

    async def _submit(self, request: pb.SubmitRequest, identity: Identity, timeout_seconds: float) -> Decided:
        if not identity.may_submit_for_real and not request.validate_only:
            raise NotPermittedError("An administrator's token may only validate; nothing was sent.")
        command, limit = command_from_wire(request, identity, self._use.config.current())
        started = self._use.monotonic()
        # What is left after the answer has travelled back; the outcome may take what remains.
        timeout_seconds -= 0.25
        if request.HasField("report"):
            report = report_from_wire(request)
            decided = await self._use.reports.submit(command, report, timeout_seconds)
        else:
            decided = await self._use.submitter.submit(
                command, requests_per_minute=limit, timeout_seconds=timeout_seconds
            )
        self._use.metrics.submit_seconds.observe(self._use.monotonic() - started)
        self._count(decided.decision.verdict, decided.decision.reason)
        if command.intent.source is Source.THREECX_SMS and not command.validate_only:
            self._use.lines.refused(command.intent, decided, self._use.config.current())
        return decided

    def _count(self, verdict: Verdict, reason: ReasonCode) -> None:
        counter = self._counters.get((verdict, reason))
        if counter is None:
            counter = self._use.metrics.decisions.labels(verdict.name, reason.name)
            self._counters[verdict, reason] = counter
        counter.inc()

    async def AdmitRequest(self, request: pb.AdmitRequestRequest, context: Any) -> pb.AdmitRequestResponse:
        async with answering(context):
            integration = self._snapshot().integrations.get(request.integration_id)
            if integration is None:
                raise NotFound(f"integration {request.integration_id[:64]!r}")
            claimed = request.HasField("signature")
            key, limit = request.integration_id, integration.requests_per_minute
            if request.sms_provider and integration.sms is not None:
                key, limit = sms_key(key), integration.sms.requests_per_minute
            reason, wait = await self._use.submitter.admit_malformed(
                key,
                limit,
                request.signature.digest if claimed else b"",
                nearest_datetime(request.signature.expires_at) if claimed else None,
            )
            answer = pb.AdmitRequestResponse(reason=reason.value)  # type: ignore[arg-type]
            if wait > 0:
                answer.retry_after.CopyFrom(to_duration(wait))
            return answer
        raise AssertionError("answering always ends the call")

    async def LookUpContact(self, request: pb.LookUpContactRequest, context: Any) -> pb.LookUpContactResponse:
        async with answering(context):
            claimed = request.HasField("signature")
            looked_up = await self._use.contacts.look_up(
                request.integration_id,
                request.number.replace("\x00", ""),
                request.signature.digest if claimed else b"",
                nearest_datetime(request.signature.expires_at) if claimed else None,
            )
            return look_up_to_wire(looked_up)
        raise AssertionError("answering always ends the call")

    # --- events
    # --------------------------------------------------------------------------------------------------

    async def RecordEvents(self, request: pb.RecordEventsRequest, context: Any) -> pb.RecordEventsResponse:
        async with answering(context):
            recorded = await self._use.recorder.record(events_from_wire(request))
            self._use.metrics.events.labels("new").inc(recorded.recorded)
            self._use.metrics.events.labels("repeated").inc(recorded.duplicates)
            if request.unparsed:
                await self._note_unparsed(request)
            return pb.RecordEventsResponse(
                recorded=recorded.recorded,
                duplicates=recorded.duplicates,
                message_ids=recorded.message_ids,
            )
        raise AssertionError("answering always ends the call")

    # --- reading
    async def _note_unparsed(self, request: pb.RecordEventsRequest) -> None:
        """What could not be read of a delivery is told twice: in words in the log, as a count to administrators."""
        elements = list(request.unparsed)[:_UNPARSED_SHOWN]
        _log.warning("events.unparsed", instance_id=request.instance_id, elements=elements)
        minute = nearest_datetime(request.received_at).replace(second=0, microsecond=0)
        count = RefusalCount(
            minute, "whatsapp_webhook", request.instance_id, "unparsed_element", "", len(request.unparsed)
        )
        await self._use.reads.record_usage([count], [])

    # -------------------------------------------------------------------------------------------------

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.ExplainResponse:
        async with answering(context):
            record = await self._use.reads.decision(request.log_id or None, request.decision_id or None)
            if record is None or not current_identity().may_act_for(record.account_id):
                raise NotFound("There is no such decision.")
            return pb.ExplainResponse(record=record_to_wire(record))
        raise AssertionError("answering always ends the call")

    async def GetMessage(self, request: pb.GetMessageRequest, context: Any) -> pb.GetMessageResponse:
        async with answering(context):
            identity = current_identity()
            account_id = self._account_of(request, identity)
            view = await self._use.reads.message(account_id, request.message_id)
            if view is None:
                raise NotFound("There is no such message.")
            answer = pb.GetMessageResponse(message=message_to_wire(view, reveal=identity.reveals))
            author = await self._use.reads.author(view.message_id) if view.outbound else None
            if author is not None:
                answer.author.extension, answer.author.name = author
            return answer
        raise AssertionError("answering always ends the call")

    def _account_of(self, request: pb.GetMessageRequest, identity: Identity) -> str:
        if request.api_key_id and identity.kind is CallerKind.EDGE:
            key = self._snapshot().api_keys.get(request.api_key_id)
            if key is None or key.revoked:
                raise NotFound("There is no such message.")
            return key.account_id
        account_id = request.account_id
        if not account_id and len(identity.account_ids) == 1 and not identity.every_account:
            account_id = next(iter(identity.account_ids))
        if not account_id:
            raise Malformed("account_id", "is required for a caller that may act for several accounts.")
        identity.require_account(account_id)
        return account_id

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Any
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        async with answering(context):
            identity = current_identity()
            identity.require_account(request.account_id)
            after, quiet_since = request.after_sequence, self._use.monotonic()
            while True:
                rows = await self._use.reads.events(
                    request.account_id, after, request.message_id, _EVENT_PAGE
                )
                if rows:
                    after, quiet_since = rows[-1].sequence, self._use.monotonic()
                    events = [event_to_wire(row, reveal=identity.reveals) for row in rows]
                    yield pb.WatchEventsResponse(events=events)
                elif self._use.monotonic() - quiet_since >= EVENT_HEARTBEAT_SECONDS:
                    quiet_since = self._use.monotonic()
                    yield pb.WatchEventsResponse()
                if len(rows) < _EVENT_PAGE:
                    await asyncio.sleep(_EVENT_POLL_SECONDS)

    # --- the edge's own
    # ------------------------------------------------------------------------------------------

    async def WatchCredentials(
        self, request: pb.WatchCredentialsRequest, context: Any
    ) -> AsyncIterator[pb.WatchCredentialsResponse]:
        async with answering(context):
            sent: int | None = None
            while True:
                if self._use.config.age_seconds() > _STALE_SECONDS:
                    raise Unavailable("The configuration cannot be read; credentials may be out of date.")
                snapshot = self._snapshot()
                if snapshot.version != sent:
                    sent = snapshot.version
                    yield credentials_to_wire(snapshot)
                else:
                    yield pb.WatchCredentialsResponse(version=snapshot.version)
                await self._use.config.wait(HEARTBEAT_SECONDS)

    async def RecordRefusals(
        self, request: pb.RecordRefusalsRequest, context: Any
    ) -> pb.RecordRefusalsResponse:
        async with answering(context):
            counts = [
                RefusalCount(
                    minute=nearest_datetime(each.minute),
                    surface=each.surface[:32],
                    target=each.target[:64].replace("\x00", ""),
                    reason=each.reason[:64],
                    source_address=each.source_address[:64],
                    count=max(each.count, 0),
                )
                for each in request.refusals
            ]
            uses: list[tuple[str, datetime]] = [
                (each.credential_id, nearest_datetime(each.used_at)) for each in request.uses
            ]
            await self._use.reads.record_usage(counts, uses)
            return pb.RecordRefusalsResponse()
        raise AssertionError("answering always ends the call")

    def _snapshot(self) -> Snapshot:
        return self._use.config.current()
