"""A policy core whose answers a test writes: real gRPC on a loopback port, no policy at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import grpc

from hubgate.policy.v1 import (
    admin_service_pb2_grpc,
    decision_pb2,
    events_pb2,
    integrations_pb2,
    policy_service_pb2_grpc,
    reasons_pb2,
    records_pb2,
)
from hubgate.policy.v1 import policy_service_pb2 as wire

EDGE_TOKEN = "tok_edge"
ADMIN_TOKEN = "tok_admin"
WEAK_TOKEN = "tok_weak"
SECRET = "s3cret"
LIVE_KEY = "wg_live_1"
HEARTBEAT_SECONDS = 0.1


def credentials() -> wire.WatchCredentialsResponse:
    """One integration of each kind, three API keys, an instance of each back end."""
    snapshot = wire.WatchCredentialsResponse(version=1, snapshot=True)
    secret = wire.SecretCredential(secret_id="sec_1", secret=SECRET)
    snapshot.integrations.add(integration_id="int_1", account_id="acc_1", enabled=True, secrets=[secret])
    snapshot.integrations.add(
        integration_id="int_signed",
        account_id="acc_1",
        enabled=True,
        secrets=[secret],
        signature_required=True,
    )
    snapshot.integrations.add(integration_id="int_off", account_id="acc_1", enabled=False, secrets=[secret])
    snapshot.integrations.add(
        integration_id="int_far",
        account_id="acc_1",
        enabled=True,
        secrets=[secret],
        allowed_addresses=["203.0.113.0/24"],
    )
    snapshot.integrations.add(
        integration_id="int_generator",
        account_id="acc_1",
        enabled=True,
        secrets=[secret],
        query_token_enabled=True,
    )
    for name, revoked, test in (
        (LIVE_KEY, False, False),
        ("wg_test_1", False, True),
        ("wg_live_2", True, False),
    ):
        digest = sha256(name.encode()).digest()
        snapshot.api_keys.add(
            api_key_id=f"key_{name}", key_digest=digest, account_id="acc_1", revoked=revoked, test=test
        )
    for backend in ("evolution", "cloud_api", "waha", "sandbox"):
        snapshot.instances.add(
            instance_id=f"ins_{backend}",
            backend=backend,
            webhook_secret="hook",
            verify_token="verify",
            external_name=_EXTERNAL_NAMES[backend],
            account_id="acc_1",
            enabled=True,
        )
    snapshot.instances.add(
        instance_id="ins_closed", backend="evolution", webhook_secret="", account_id="acc_1", enabled=True
    )
    return snapshot


_EXTERNAL_NAMES = {
    "evolution": "support",
    "cloud_api": "106540352242922",
    "waha": "default",
    "sandbox": "ins_sandbox",
}


def allowed(log_id: int) -> decision_pb2.Decision:
    """A decision to send."""
    return decision_pb2.Decision(
        decision_id="dec_1",
        log_id=log_id,
        verdict=reasons_pb2.VERDICT_ALLOW,
        reason=reasons_pb2.REASON_CODE_ALLOWED,
        action=decision_pb2.ACTION_SEND,
    )


def sent(request: wire.SubmitRequest) -> wire.SubmitResponse:
    """The message was sent."""
    return wire.SubmitResponse(
        decision=allowed(41),
        message=events_pb2.Message(message_id="msg_1", state=events_pb2.MESSAGE_STATE_SENT),
        event_type=request.event_type,
    )


def refused(
    reason: int, verdict: int = reasons_pb2.VERDICT_DENY, findings: Sequence[decision_pb2.Finding] = ()
) -> wire.SubmitResponse:
    """The request was refused."""
    decision = decision_pb2.Decision(
        decision_id="dec_2",
        log_id=42,
        verdict=reasons_pb2.Verdict.ValueType(verdict),
        reason=reasons_pb2.ReasonCode.ValueType(reason),
        action=decision_pb2.ACTION_BLOCK,
        findings=findings,
        risk_score=17,
    )
    return wire.SubmitResponse(decision=decision, event_type=wire.EVENT_TYPE_OUTBOUND_MESSAGE)


def finding(reason: int, verdict: int = reasons_pb2.VERDICT_DENY) -> decision_pb2.Finding:
    """One check's refusal."""
    return decision_pb2.Finding(
        check=reasons_pb2.CHECK_NAME_INSTANCE,
        verdict=reasons_pb2.Verdict.ValueType(verdict),
        reason=reasons_pb2.ReasonCode.ValueType(reason),
    )


Answer = wire.SubmitResponse | wire.ItemError | None


class ScriptedCore(policy_service_pb2_grpc.PolicyServiceServicer):
    """Answers as the test says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.credentials = credentials()
        self.heartbeats = True
        self.watchers = 0
        self.changed = asyncio.Event()
        self.on_submit: Callable[[wire.SubmitRequest], Answer] = sent
        self.admission = wire.AdmitRequestResponse(reason=reasons_pb2.REASON_CODE_ALLOWED)
        self.break_streams = False
        self.hold = asyncio.Event()
        self.hold.set()
        self.submissions: list[wire.SubmitRequest] = []
        self.admissions: list[wire.AdmitRequestRequest] = []
        self.recorded: list[wire.RecordEventsRequest] = []
        self.refusals: list[wire.Refusal] = []
        self.uses: list[wire.CredentialUse] = []
        self.record_status: grpc.StatusCode | None = None
        self.poison = ""
        self.messages: dict[str, events_pb2.Message] = {}
        self.deliveries: list[records_pb2.Delivery] = []
        self.decisions: list[wire.DecisionRecord] = []
        self.list_requests: list[records_pb2.ListMessagesRequest] = []
        self.look_ups: list[wire.LookUpContactRequest] = []
        self.looked_up = wire.LookUpContactResponse(reason=reasons_pb2.REASON_CODE_ALLOWED)

    async def may(self, context: Any, *tokens: str) -> None:
        """Checks the caller's token as the policy core would."""
        metadata = dict(context.invocation_metadata())
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        if token not in (EDGE_TOKEN, ADMIN_TOKEN, WEAK_TOKEN):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
        if token not in tokens:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "no right")

    async def Submit(self, request: wire.SubmitRequest, context: Any) -> Any:
        return await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the edge submits by stream")

    async def WatchEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not the edge's")
        yield wire.WatchEventsResponse()

    async def SubmitStream(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        await self.may(context, EDGE_TOKEN)
        async for batch in request_iterator:
            answers = []
            self.submissions.extend(item.request for item in batch.items)
            await self.hold.wait()
            for item in batch.items:
                if self.break_streams:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "going down")
                answer = self.on_submit(item.request)
                if isinstance(answer, wire.SubmitResponse):
                    answers.append(wire.SubmitAnswer(correlation_id=item.correlation_id, response=answer))
                elif answer is not None:
                    answers.append(wire.SubmitAnswer(correlation_id=item.correlation_id, error=answer))
            if answers:
                yield wire.SubmitStreamResponse(answers=answers)

    async def AdmitRequest(self, request: wire.AdmitRequestRequest, context: Any) -> Any:
        await self.may(context, EDGE_TOKEN)
        self.admissions.append(request)
        return self.admission

    async def LookUpContact(self, request: wire.LookUpContactRequest, context: Any) -> Any:
        await self.may(context, EDGE_TOKEN)
        self.look_ups.append(request)
        return self.looked_up

    async def RecordEvents(self, request: wire.RecordEventsRequest, context: Any) -> Any:
        await self.may(context, EDGE_TOKEN)
        if self.record_status is not None:
            await context.abort(self.record_status, "scripted")
        if self.poison and any(event.message.text == self.poison for event in request.events):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "malformed event")
        self.recorded.append(request)
        ids = [f"msg_in_{len(self.recorded)}_{number}" for number, _ in enumerate(request.events)]
        return wire.RecordEventsResponse(recorded=len(request.events), message_ids=ids)

    async def GetMessage(self, request: wire.GetMessageRequest, context: Any) -> Any:
        await self.may(context, EDGE_TOKEN)
        message = self.messages.get(request.message_id)
        if message is None or message.account_id != request.account_id:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such message")
        return wire.GetMessageResponse(message=message)

    async def Explain(self, request: wire.ExplainRequest, context: Any) -> Any:
        await self.may(context, ADMIN_TOKEN)
        for record in self.decisions:
            if record.decision.log_id == request.log_id:
                return wire.ExplainResponse(record=record)
        return await context.abort(grpc.StatusCode.NOT_FOUND, "no such decision")

    async def WatchCredentials(self, request: Any, context: Any) -> AsyncIterator[Any]:
        await self.may(context, EDGE_TOKEN)
        self.watchers += 1
        sent_version = 0
        while True:
            if self.credentials.version > sent_version:
                sent_version = self.credentials.version
                yield self.credentials
            elif self.heartbeats:
                yield wire.WatchCredentialsResponse(version=sent_version)
            try:
                await asyncio.wait_for(self.changed.wait(), HEARTBEAT_SECONDS)
                self.changed.clear()
            except TimeoutError:
                continue

    async def RecordRefusals(self, request: wire.RecordRefusalsRequest, context: Any) -> Any:
        await self.may(context, EDGE_TOKEN)
        self.refusals.extend(request.refusals)
        self.uses.extend(request.uses)
        return wire.RecordRefusalsResponse()


class ScriptedAdmin(admin_service_pb2_grpc.AdminServiceServicer):
    """The reading half of the admin service, over the same script."""

    def __init__(self, core: ScriptedCore) -> None:
        self._core = core

    async def ListDecisions(self, request: records_pb2.ListDecisionsRequest, context: Any) -> Any:
        await self._core.may(context, ADMIN_TOKEN)
        return records_pb2.ListDecisionsResponse(records=self._core.decisions[: request.page_size])

    async def ListIntegrations(self, request: integrations_pb2.ListIntegrationsRequest, context: Any) -> Any:
        await self._core.may(context, ADMIN_TOKEN)
        known = [each.integration_id for each in self._core.credentials.integrations]
        found = [integrations_pb2.Integration(integration_id=request.integration_id)]
        return integrations_pb2.ListIntegrationsResponse(
            integrations=found if request.integration_id in known else []
        )

    async def ListMessages(self, request: records_pb2.ListMessagesRequest, context: Any) -> Any:
        await self._core.may(context, ADMIN_TOKEN, EDGE_TOKEN)
        self._core.list_requests.append(request)
        return records_pb2.ListMessagesResponse(messages=list(self._core.messages.values()))

    async def ListDeliveries(self, request: records_pb2.ListDeliveriesRequest, context: Any) -> Any:
        await self._core.may(context, ADMIN_TOKEN, EDGE_TOKEN)
        return records_pb2.ListDeliveriesResponse(deliveries=self._core.deliveries)


@asynccontextmanager
async def serving(core: ScriptedCore, port: int = 0) -> AsyncIterator[int]:
    """Serves the script on a loopback port."""
    server = grpc.aio.server()
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(core, server)
    admin_service_pb2_grpc.add_AdminServiceServicer_to_server(ScriptedAdmin(core), server)  # type: ignore[abstract]
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(grace=None)
