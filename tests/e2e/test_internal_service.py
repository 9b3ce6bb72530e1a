"""An internal service calls the policy core: its rights, its messages, and what became of them."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from hubgate.policy.v1 import accounts_pb2, reasons_pb2
from hubgate.policy.v1 import policy_service_pb2 as pb
from support.desk import Desk, fresh_phone
from support.gateway import CoreClient, Gateway


async def _token(core: CoreClient, name: str, rights: list[str], accounts: list[str]) -> str:
    request = accounts_pb2.CreateServiceTokenRequest(
        name=f"{name}-{uuid.uuid4().hex[:8]}", rights=rights, account_ids=accounts
    )
    answer = await core.call(core.admin.CreateServiceToken, request)
    return str(answer.token)


async def _known(client: CoreClient, account_id: str) -> None:
    """Waits until the policy core counts the token."""
    for _ in range(40):
        try:
            await client.call(
                client.policy.GetMessage, pb.GetMessageRequest(message_id="msg_x", account_id=account_id)
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                return
        await asyncio.sleep(0.05)


@pytest.fixture
async def service(running_gateway: Gateway, core: CoreClient, desk: Desk) -> AsyncIterator[CoreClient]:
    """A service that may submit and read for the desk's account."""
    token = await _token(core, "billing", ["submit", "read"], [desk.account.account_id])
    async with CoreClient(running_gateway.core_address, token) as client:
        await _known(client, desk.account.account_id)
        yield client


def _submit(desk: Desk, phone: str, **more: Any) -> pb.SubmitRequest:
    return pb.SubmitRequest(
        account_id=desk.account.account_id,
        phone=phone,
        text="Your invoice 17 is paid.",
        purpose="transactional",
        **more,
    )


def _reason(error: grpc.aio.AioRpcError) -> str:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # its stub knows sync calls only
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info) and info.domain == "hubgate"
    return str(info.reason)


async def test_a_refusal_is_an_answer(service: CoreClient, desk: Desk) -> None:
    answer = await service.call(service.policy.Submit, _submit(desk, fresh_phone()))
    assert answer.decision.verdict == reasons_pb2.VERDICT_DENY
    assert answer.decision.reason == reasons_pb2.REASON_CODE_WINDOW_NEVER_OPENED
    assert answer.decision.log_id > 0 and answer.decision.explanation


async def test_a_request_id_is_answered_again(service: CoreClient, desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    request = _submit(desk, phone, request_id=str(uuid.uuid4()))
    first = await service.call(service.policy.Submit, request)
    again = await service.call(service.policy.Submit, request)
    assert again.duplicate and again.message.message_id == first.message.message_id
    request.text = "Another text."
    other = await service.call(service.policy.Submit, request)
    assert other.decision.reason == reasons_pb2.REASON_CODE_IDEMPOTENCY_KEY_REUSED


async def test_validate_only_decides_and_leaves_nothing(service: CoreClient, desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    answer = await service.call(service.policy.Submit, _submit(desk, phone, validate_only=True))
    assert answer.decision.verdict == reasons_pb2.VERDICT_ALLOW and answer.decision.log_id == 0
    assert len(await desk.phone_shows(phone)) == 1


async def test_events_can_be_resumed(service: CoreClient, desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    sent = await service.call(service.policy.Submit, _submit(desk, phone))

    async def watch(after: int, count: int) -> list[Any]:
        request = pb.WatchEventsRequest(account_id=desk.account.account_id, after_sequence=after)
        found: list[Any] = []
        async with asyncio.timeout(10):
            call = service.policy.WatchEvents(request, metadata=service.metadata)
            async for batch in call:
                found.extend(batch.events)
                if len(found) >= count:
                    call.cancel()
                    return found
        return found

    first = await watch(0, 2)
    assert first[0].event_name == "message.received"
    rest = await watch(first[0].sequence, 1)
    assert rest[0].sequence == first[1].sequence
    assert rest[0].message.message_id == sent.message.message_id
    # Without the right to see them, texts and numbers do not travel.
    assert not first[0].message.text and "•" in first[0].message.person.phone


async def test_a_message_is_found_by_both_ids(service: CoreClient, desk: Desk) -> None:
    phone = fresh_phone()
    await desk.customer_writes(phone)
    sent = (await service.call(service.policy.Submit, _submit(desk, phone))).message
    for message_id in (sent.message_id, sent.external_message_id):
        request = pb.GetMessageRequest(message_id=message_id)
        found = await service.call(service.policy.GetMessage, request)
        assert found.message.message_id == sent.message_id


@pytest.mark.parametrize("method", ["RecordEvents", "AdmitRequest", "RecordRefusals"])
async def test_what_is_the_edges_alone_is_refused(service: CoreClient, method: str) -> None:
    request = getattr(pb, f"{method}Request")()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.call(getattr(service.policy, method), request)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert _reason(refused.value)


async def test_another_accounts_things_are_not_there(
    service: CoreClient, core: CoreClient, desk: Desk
) -> None:
    other = await core.account(name="Other")
    request = pb.SubmitRequest(
        account_id=other.account_id, phone="+966500000000", text="x", purpose="support"
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.call(service.policy.Submit, request)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.call(service.policy.Submit, _submit(desk, "+966500000000", integration_id="int_x"))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_no_token_no_answer(running_gateway: Gateway) -> None:
    async with CoreClient(running_gateway.core_address, "hgs_nobody") as nobody:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await nobody.call(nobody.policy.Submit, pb.SubmitRequest())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_an_administrator_may_only_validate(core: CoreClient, desk: Desk) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await core.call(core.policy.Submit, _submit(desk, "+966500000000"))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    answer = await core.call(core.policy.Submit, _submit(desk, "+966500000000", validate_only=True))
    assert answer.decision.log_id == 0
