"""The edge's client of the policy core: the one door through which calls leave the edge."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, Final

import grpc

from certificates.folder import POLICYCORE_NAME, RENEWAL_LOOK_SECONDS, Certificates, expected_name
from edge import model
from edge.clients import convert
from edge.clients.failures import from_rpc
from edge.clients.submit_lanes import SubmitLanes
from edge.clients.whatsapp_wire import to_wire
from edge.errors import CoreUnavailableError, InvalidCallError
from edge.refusals import RefusalReport
from edge.webhooks.whatsapp.model import Delivery, PersonRef
from hubgate.policy.v1 import admin_service_pb2_grpc, integrations_pb2, policy_service_pb2_grpc, records_pb2
from hubgate.policy.v1 import policy_service_pb2 as wire

CALL_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 5.0
"""Heartbeats come about every second; after this long without one the stream counts as broken."""

_OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    # A name may stand for several policy cores: all of them are used, and one that is gone is nobody's only one.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
)

_MALFORMED: Final = "An event was left out: the policy core found it malformed."

Metadata = tuple[tuple[str, str], ...]


def bearer(token: str) -> Metadata:
    """Call metadata for a token."""
    return (("authorization", f"Bearer {token}"),)


class PolicyCore:
    """Calls to the policy cores at one address, with the edge's own token unless a caller's is given.

    Every method raises the errors of `edge.errors`; none lets a gRPC error out. Without `certificates` the
    connection is not encrypted.
    """

    def __init__(
        self,
        address: str,
        token: str,
        jitter: Callable[[], float] = lambda: 1.0,
        lanes: int = 2,
        certificates: Certificates | None = None,
    ) -> None:
        self._address = address
        self._certificates = certificates
        self._former: list[grpc.aio.Channel] = []
        self._connect()
        self._own = bearer(token)
        self._lanes = SubmitLanes(
            lambda: self._policy.SubmitStream(metadata=self._own), lanes=lanes, jitter=jitter
        )

    def start(self) -> None:
        """Opens the streams that carry submissions."""
        self._lanes.start()

    async def close(self) -> None:
        """Closes streams and channel."""
        await self._lanes.close()
        for channel in (*self._former, self._channel):
            await channel.close(grace=None)

    async def keep_certificates(self) -> None:
        """Has new calls and streams show a renewed certificate. Returns at once if there is none."""
        while self._certificates is not None:
            await asyncio.sleep(RENEWAL_LOOK_SECONDS)
            # Reading files is quick, but not this loop's business.
            if await asyncio.to_thread(self._certificates.renewed):
                self._former.append(self._channel)
                self._connect()
            # What is under way on a former channel stays there until its connection ends by itself.
            ready = grpc.ChannelConnectivity.READY
            for channel in [each for each in self._former if each.get_state() is not ready]:
                self._former.remove(channel)
                await channel.close(grace=None)

    def _connect(self) -> None:
        if self._certificates is None:
            self._channel = grpc.aio.insecure_channel(self._address, options=_OPTIONS)
        else:
            options = (*_OPTIONS, *expected_name(POLICYCORE_NAME))
            credentials = self._certificates.channel_credentials()
            self._channel = grpc.aio.secure_channel(self._address, credentials, options=options)
        self._policy: Any = policy_service_pb2_grpc.PolicyServiceStub(self._channel)
        self._admin: Any = admin_service_pb2_grpc.AdminServiceStub(self._channel)

    async def submit(self, submission: model.Submission, timeout_seconds: float) -> model.Outcome:
        """Decides and, if allowed, sends; answers when the outcome is known."""
        caller = submission.api_key_id or submission.integration_id
        response = await self._lanes.submit(convert.submit_request(submission), timeout_seconds, caller)
        return convert.outcome(response)

    async def admit(
        self,
        integration_id: str,
        signature: model.SignatureClaim | None,
        timeout_seconds: float = CALL_SECONDS,
        *,
        sms_provider: bool = False,
    ) -> model.Admission:
        """Counts a request that could not be parsed against the limits of its integration, or of its SMS-provider
        connector.
        """
        request = wire.AdmitRequestRequest(integration_id=integration_id, sms_provider=sms_provider)
        if signature is not None:
            request.signature.CopyFrom(convert.signature_claim(signature))
        response = await self._call(self._policy.AdmitRequest, request, self._own, timeout_seconds)
        wait = (
            response.retry_after.ToTimedelta().total_seconds() if response.HasField("retry_after") else None
        )
        return model.Admission(reason=response.reason, retry_after_seconds=wait)

    async def look_up(
        self, integration_id: str, number: str, signature: model.SignatureClaim | None
    ) -> model.LookedUp:
        """The person behind a number, if they wrote to an instance that the integration serves."""
        request = wire.LookUpContactRequest(integration_id=integration_id, number=number)
        if signature is not None:
            request.signature.CopyFrom(convert.signature_claim(signature))
        return convert.looked_up(
            await self._call(self._policy.LookUpContact, request, self._own, CALL_SECONDS)
        )

    async def has_integration(self, token: str, integration_id: str) -> bool:
        """Whether the caller of this token may see the integration."""
        request = integrations_pb2.ListIntegrationsRequest(integration_id=integration_id, page_size=1)
        response = await self._call(self._admin.ListIntegrations, request, bearer(token), CALL_SECONDS)
        return bool(response.integrations)

    async def record_delivery(
        self, instance_id: str, delivery: Delivery, received_at: datetime, timeout_seconds: float
    ) -> model.Recorded:
        """Records everything one webhook body held, in order; returns after the last commit.

        An event that the policy core finds malformed is left out and reported as unparsed, so that it costs
        its neighbours nothing.
        """
        recorded, duplicates = 0, 0
        message_ids: list[str] = []
        for request in to_wire(instance_id, delivery, received_at):
            for response in await self._record_one(request, timeout_seconds):
                recorded += response.recorded
                duplicates += response.duplicates
                message_ids.extend(response.message_ids)
        return model.Recorded(recorded, duplicates, tuple(message_ids))

    async def _record_one(
        self, request: wire.RecordEventsRequest, timeout_seconds: float
    ) -> list[wire.RecordEventsResponse]:
        try:
            return [await self._call(self._policy.RecordEvents, request, self._own, timeout_seconds)]
        except InvalidCallError:
            if not request.events:
                raise
        responses: list[wire.RecordEventsResponse] = []
        unparsed = list(request.unparsed)
        for event in request.events:
            single = wire.RecordEventsRequest(
                instance_id=request.instance_id, events=[event], received_at=request.received_at
            )
            try:
                responses.append(
                    await self._call(self._policy.RecordEvents, single, self._own, timeout_seconds)
                )
            except InvalidCallError:
                unparsed.append(_MALFORMED)
        if unparsed:
            rest = wire.RecordEventsRequest(
                instance_id=request.instance_id, received_at=request.received_at, unparsed=unparsed
            )
            responses.append(await self._call(self._policy.RecordEvents, rest, self._own, timeout_seconds))
        return responses

    async def message(self, message_id: str, account_id: str, api_key_id: str) -> model.Message:
        """What became of one message of an account."""
        request = wire.GetMessageRequest(message_id=message_id, account_id=account_id, api_key_id=api_key_id)
        response = await self._call(self._policy.GetMessage, request, self._own, CALL_SECONDS)
        return convert.message(response.message)

    async def watch_credentials(self) -> AsyncIterator[model.CredentialSnapshot | None]:
        """Snapshots of all credentials as they change, and None for each heartbeat. The first is always a
        snapshot.

        Raises CoreUnavailableError when the stream ends, falls silent, or confirms a version that was never
        sent.
        """
        call = self._policy.WatchCredentials(wire.WatchCredentialsRequest(), metadata=self._own)
        version: int | None = None
        try:
            while True:
                async with asyncio.timeout(SILENCE_SECONDS):
                    response = await call.read()
                if response is grpc.aio.EOF:  # type: ignore[attr-defined]
                    raise CoreUnavailableError("the stream of credentials ended")
                if response.snapshot:
                    version = response.version
                    yield convert.credential_snapshot(response)
                elif version is None or response.version > version:
                    raise CoreUnavailableError("the stream of credentials left out a snapshot")
                else:
                    yield None
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        except TimeoutError as error:
            raise CoreUnavailableError("the stream of credentials fell silent") from error
        finally:
            call.cancel()

    async def report_refusals(self, report: RefusalReport) -> None:
        """Adds refusals to the security log, and last-used marks to credentials."""
        await self._call(
            self._policy.RecordRefusals, convert.refusal_request(report), self._own, CALL_SECONDS
        )

    async def decisions(self, token: str, limit: int) -> list[model.DecisionRow]:
        """The newest rows of the policy log, with the caller's own rights."""
        request = records_pb2.ListDecisionsRequest(page_size=limit)
        response = await self._call(self._admin.ListDecisions, request, bearer(token), CALL_SECONDS)
        return [convert.decision_row(row) for row in response.records]

    async def explain(self, token: str, log_id: int) -> model.DecisionRow:
        """One row of the policy log with every finding, with the caller's own rights."""
        request = wire.ExplainRequest(log_id=log_id)
        response = await self._call(self._policy.Explain, request, bearer(token), CALL_SECONDS)
        return convert.decision_row(response.record)

    async def check_admin(self, token: str, instance_id: str) -> None:
        """Returns if the caller may read this instance's messages; raises NotAuthenticatedError or
        NotPermittedError if not.
        """
        request = records_pb2.ListMessagesRequest(instance_id=instance_id, page_size=1)
        await self._call(self._admin.ListMessages, request, bearer(token), CALL_SECONDS)

    async def instance_messages(
        self, instance_id: str, person: PersonRef | None, limit: int
    ) -> list[model.Message]:
        """An instance's newest messages with text and full numbers, in both directions, of one person or of
        all.
        """
        request = records_pb2.ListMessagesRequest(instance_id=instance_id, reveal=True, page_size=limit)
        if person is not None:
            request.person.phone = person.phone
            request.person.lid = person.lid
            request.person.business_scoped_id = person.business_scoped_id
        response = await self._call(self._admin.ListMessages, request, self._own, CALL_SECONDS)
        return [convert.message(found) for found in response.messages]

    async def instance_deliveries(self, instance_id: str, limit: int) -> list[model.ForwardedEvent]:
        """The newest events of an instance on their way to 3CX, with their bodies."""
        request = records_pb2.ListDeliveriesRequest(instance_id=instance_id, reveal=True, page_size=limit)
        response = await self._call(self._admin.ListDeliveries, request, self._own, CALL_SECONDS)
        return [convert.forwarded_event(found) for found in response.deliveries if found.integration_id]

    async def _call(self, method: Any, request: Any, metadata: Metadata, timeout_seconds: float) -> Any:
        try:
            return await method(request, metadata=metadata, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
