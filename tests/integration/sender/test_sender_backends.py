"""The real sender against each back end's stand-in: accepted, refused, unknown, slow, too large."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from hubgate.sender.v1 import sender_service_pb2 as pb
from peers import cloud_api, evolution, waha
from peers.backend_peer import BackendPeer
from peers.cloud_api import CloudApiPeer
from peers.evolution import EvolutionPeer
from peers.peer import Script
from peers.running_sender import METADATA, RunningSender
from peers.waha import WahaPeer

PHONE = "+966500000000"


@dataclass
class Backend:
    """One back end's stand-in and how the sender reaches it."""

    peer: BackendPeer
    prefix: str
    connection: pb.InstanceConnection
    address: str
    refusal: Script
    refusal_code: str
    not_on_whatsapp: Script
    break_state: Callable[[], None]

    def reached_at(self, base_url: str) -> pb.InstanceConnection:
        """The same connection with another base URL."""
        changed = pb.InstanceConnection()
        changed.CopyFrom(self.connection)
        changed.base_url = base_url
        return changed


def link(peer: BackendPeer, backend: str, name: str, token: str) -> pb.InstanceConnection:
    return pb.InstanceConnection(
        instance_id="ins_1", backend=backend, base_url=peer.base_url, external_name=name, api_token=token
    )


async def start_evolution() -> Backend:
    peer = await EvolutionPeer.start()
    return Backend(
        peer,
        "evolution",
        link(peer, "evolution", peer.instance, peer.api_key),
        "966500000000",
        Script(500, evolution.error(500, "Internal Server Error", "Connection Closed")),
        "evolution_connection_closed",
        Script(400, evolution.not_on_whatsapp("966500000000")),
        lambda: setattr(peer, "state", "close"),
    )


async def start_cloud_api() -> Backend:
    peer = await CloudApiPeer.start()
    return Backend(
        peer,
        "cloud",
        link(peer, "cloud_api", peer.phone_number_id, peer.token),
        "+966500000000",
        Script(400, cloud_api.error(131047, "Re-engagement message", "more than 24 hours")),
        "cloud_131047",
        Script(400, cloud_api.error(131026, "Undeliverable", "no")),
        lambda: setattr(peer, "number_status", "BANNED"),
    )


async def start_waha() -> Backend:
    peer = await WahaPeer.start()
    return Backend(
        peer,
        "waha",
        link(peer, "waha", peer.session, peer.api_key),
        "966500000000@c.us",
        Script(422, waha.not_working("default", "SCAN_QR_CODE")),
        "waha_session_not_working",
        Script(500, waha.failed("2 UNKNOWN: no LID found for 966500000000@s.whatsapp.net from server")),
        lambda: setattr(peer, "status", "FAILED"),
    )


@pytest.fixture(params=[start_evolution, start_cloud_api, start_waha], ids=["evolution", "cloud_api", "waha"])
async def backend(request: Any) -> AsyncIterator[Backend]:
    made: Backend = await request.param()
    yield made
    await made.peer.stop()


async def test_accepted(sender: RunningSender, backend: Backend) -> None:
    before = time.time()
    found = await sender.deliver(backend.connection, text="أهلاً، your ticket is ready ✓")
    [message] = backend.peer.accepted
    assert found.outcome == pb.OUTCOME_ACCEPTED
    assert found.code == f"{backend.prefix}_accepted"
    assert found.external_message_id == message.external_message_id
    assert (message.to, message.text) == (backend.address, "أهلاً، your ticket is ready ✓")
    assert before - 1 <= found.attempted_at.ToNanoseconds() / 1e9 <= time.time() + 1


async def test_refused(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script(PHONE, backend.refusal)
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.code) == (pb.OUTCOME_REJECTED, backend.refusal_code)
    assert found.http_status == backend.refusal.status
    assert len(backend.peer.received) == 1


async def test_not_on_whatsapp(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script(PHONE, backend.not_on_whatsapp)
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.consequence) == (pb.OUTCOME_REJECTED, pb.CONSEQUENCE_NOT_ON_WHATSAPP)


async def test_wrong_credentials_pause_the_instance(sender: RunningSender, backend: Backend) -> None:
    backend.connection.api_token = "wrong"
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.consequence) == (pb.OUTCOME_REJECTED, pb.CONSEQUENCE_PAUSE_INSTANCE)
    assert backend.peer.accepted == []


async def test_an_unknown_instance_pauses_it(sender: RunningSender, backend: Backend) -> None:
    backend.connection.external_name = "nobody"
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.consequence) == (pb.OUTCOME_REJECTED, pb.CONSEQUENCE_PAUSE_INSTANCE)


async def test_an_answer_that_does_not_come_in_time_is_unknown(
    sender: RunningSender, backend: Backend
) -> None:
    backend.peer.script(PHONE, Script(delay_seconds=5, accepts=True))
    found = await sender.deliver(backend.connection, timeout=1.2)
    assert (found.outcome, found.code) == (pb.OUTCOME_UNKNOWN, f"{backend.prefix}_timeout")
    assert len(backend.peer.received) == 1


async def test_a_connection_that_breaks_after_the_request_is_unknown(
    sender: RunningSender, backend: Backend
) -> None:
    backend.peer.script(PHONE, Script(drop="before_answer", accepts=True))
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.code) == (pb.OUTCOME_UNKNOWN, f"{backend.prefix}_connection_lost")
    assert len(backend.peer.received) == 1


async def test_a_server_error_is_unknown(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script(PHONE, Script(502, b"<html>bad gateway</html>"))
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.code) == (pb.OUTCOME_UNKNOWN, f"{backend.prefix}_server_failed")


async def test_nobody_listening_means_nothing_left(sender: RunningSender, backend: Backend) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        found = await sender.deliver(backend.reached_at(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert (found.outcome, found.code) == (pb.OUTCOME_REJECTED, f"{backend.prefix}_unreachable")
    assert not found.HasField("attempted_at")


async def test_a_name_that_does_not_exist_means_nothing_left(sender: RunningSender, backend: Backend) -> None:
    found = await sender.deliver(backend.reached_at("http://nowhere.invalid"))
    assert (found.outcome, found.code) == (pb.OUTCOME_REJECTED, f"{backend.prefix}_dns_failed")


async def test_an_address_that_is_refused(sender: RunningSender, backend: Backend) -> None:
    found = await sender.deliver(backend.reached_at("http://10.0.0.1:8080"))
    assert (found.outcome, found.code) == (pb.OUTCOME_REJECTED, f"{backend.prefix}_address_refused")
    assert found.consequence == pb.CONSEQUENCE_PAUSE_INSTANCE


async def test_redirects_are_not_followed(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script(PHONE, Script(307, b"", headers={"Location": f"{backend.peer.base_url}/elsewhere"}))
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.code) == (pb.OUTCOME_REJECTED, f"{backend.prefix}_redirected")
    assert len(backend.peer.received) == 1


async def test_an_oversized_answer_is_not_read_to_its_end(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script(PHONE, Script(201, b'{"x":"' + b"a" * 3_000_000 + b'"}', accepts=True))
    found = await sender.deliver(backend.connection)
    assert (found.outcome, found.code) == (pb.OUTCOME_UNKNOWN, f"{backend.prefix}_answer_cut_short")


async def test_a_wait_that_is_asked_for_is_handed_on(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script(PHONE, Script(429, b"", headers={"Retry-After": "17"}))
    found = await sender.deliver(backend.connection)
    assert (found.retry_after.seconds, found.consequence) == (17, pb.CONSEQUENCE_SLOW_INSTANCE)


async def test_the_next_message_after_a_failure_goes_through(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script(PHONE, Script(drop="before_answer", times=1))
    assert (await sender.deliver(backend.connection)).outcome == pb.OUTCOME_UNKNOWN
    assert (await sender.deliver(backend.connection)).outcome == pb.OUTCOME_ACCEPTED


async def test_states(sender: RunningSender, backend: Backend) -> None:
    async def probe() -> pb.ProbeInstanceResponse:
        request = pb.ProbeInstanceRequest(connection=backend.connection)
        answer: pb.ProbeInstanceResponse = await sender.stub.ProbeInstance(request, metadata=METADATA)
        return answer

    assert (await probe()).state == "open"
    backend.break_state()
    assert (await probe()).state == "close"
    backend.connection.api_token = "wrong"
    assert (await probe()).state == "close"
    backend.connection.base_url = "http://nowhere.invalid"
    gone = await probe()
    assert (gone.state, gone.reason) == ("", "dns_failed")
    assert gone.error_text


async def test_a_slow_message_holds_up_nobody_in_its_batch(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script("+966500000099", Script(delay_seconds=1.5))
    phones = ["+966500000099", *(f"+96650000{number:04d}" for number in range(1000, 1040))]
    orders = [sender.instructor.order(backend.connection, phone=phone) for phone in phones]
    for order in orders:
        order.ClearField("connection")
    items = [pb.DeliverItem(correlation_id=number, request=order) for number, order in enumerate(orders)]
    call = sender.stub.DeliverStream(metadata=METADATA)
    began = time.monotonic()
    await call.write(pb.DeliverStreamRequest(connections=[backend.connection], items=items))
    await call.done_writing()
    arrived: dict[int, float] = {}
    async for response in call:
        for answer in response.answers:
            assert answer.response.outcome == pb.OUTCOME_ACCEPTED
            arrived[answer.correlation_id] = time.monotonic() - began
    assert sorted(arrived) == list(range(41))
    assert list(arrived)[-1] == 0, "the slow one was answered last, and held up nobody"
    assert arrived[0] >= 1.5


async def test_a_cancelled_stream_stops_what_has_not_begun(sender: RunningSender, backend: Backend) -> None:
    backend.peer.script("*", Script(delay_seconds=10))
    call = sender.stub.DeliverStream(metadata=METADATA)
    order = sender.instructor.order(backend.connection)
    await call.write(pb.DeliverStreamRequest(items=[pb.DeliverItem(correlation_id=1, request=order)]))
    await backend.peer.wait_received(1)
    call.cancel()
    backend.peer.forget_scripts()
    # The sender itself is none the worse for it.
    async with asyncio.timeout(5):
        assert (await sender.deliver(backend.connection)).outcome == pb.OUTCOME_ACCEPTED


@pytest.mark.parametrize(
    ("script", "outcome", "code"),
    [
        (
            Script(
                400, evolution.error(400, "Bad Request", ["PrismaClientKnownRequestError: …"]), accepts=True
            ),
            pb.OUTCOME_UNKNOWN,
            "evolution_sent_unconfirmed",
        ),
        (Script(201, {}, accepts=True), pb.OUTCOME_UNKNOWN, "evolution_no_message_id"),
        (
            Script(201, cloud_api.error(131030, "x", "y")["error"]),
            pb.OUTCOME_REJECTED,
            "evolution_graph_131030",
        ),
        (
            Script(400, evolution.error(400, "Bad Request", ["Error: Connection Closed"])),
            pb.OUTCOME_UNKNOWN,
            "evolution_failed_while_sending",
        ),
    ],
)
async def test_evolutions_own_traps(sender: RunningSender, script: Script, outcome: int, code: str) -> None:
    backend = await start_evolution()
    try:
        backend.peer.script(PHONE, script)
        found = await sender.deliver(backend.connection)
        assert (found.outcome, found.code) == (outcome, code)
    finally:
        await backend.peer.stop()


async def test_linked_ids_and_business_scoped_ids(sender: RunningSender) -> None:
    lid = pb.Recipient(lid="123456789012345")
    scoped = pb.Recipient(business_scoped_id="US.13491208655302741918")
    reached: list[str] = []
    for start, recipient in ((start_evolution, lid), (start_waha, lid), (start_cloud_api, scoped)):
        backend = await start()
        found = await sender.deliver(backend.connection, recipient=recipient)
        assert found.outcome == pb.OUTCOME_ACCEPTED
        reached.append(backend.peer.accepted[0].to)
        await backend.peer.stop()
    assert reached == ["123456789012345@lid", "123456789012345@lid", "US.13491208655302741918"]


async def test_wahas_empty_success_is_accepted_without_an_id(sender: RunningSender) -> None:
    backend = await start_waha()
    backend.peer.script(PHONE, Script(201, b"", accepts=True))
    found = await sender.deliver(backend.connection)
    await backend.peer.stop()
    assert (found.outcome, found.external_message_id) == (pb.OUTCOME_ACCEPTED, "")


async def test_the_correlation_id_reaches_the_cloud_api(sender: RunningSender) -> None:
    backend = await start_cloud_api()
    order = sender.instructor.order(backend.connection)
    await sender.attempt(order)
    await backend.peer.stop()
    assert backend.peer.accepted[0].json["biz_opaque_callback_data"] == order.correlation_id


async def test_the_sandbox_needs_no_network(sender: RunningSender) -> None:
    connection = pb.InstanceConnection(instance_id="ins_s", backend="sandbox")
    good = await sender.deliver(connection)
    assert good.outcome == pb.OUTCOME_ACCEPTED
    assert good.external_message_id.startswith("sbx_")
    assert [receipt.kind for receipt in good.receipts] == ["sent", "delivered", "read"]
    unknown = await sender.deliver(connection, phone="+966500000001")
    refused = await sender.deliver(connection, phone="+966500000002")
    failed = await sender.deliver(connection, phone="+966500000004")
    assert [unknown.outcome, refused.outcome] == [pb.OUTCOME_UNKNOWN, pb.OUTCOME_REJECTED]
    assert (failed.outcome, failed.receipts[-1].kind) == (pb.OUTCOME_ACCEPTED, "failed")
