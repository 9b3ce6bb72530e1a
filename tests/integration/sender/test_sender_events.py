"""Events posted to a real server: signed, once, to allowed addresses only."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from hubgate.sender.v1 import sender_service_pb2 as pb
from peers.peer import Script
from peers.running_sender import METADATA, RunningSender
from peers.threecx import ThreecxPeer

StartSender = Callable[..., Awaitable[RunningSender]]

BODY = json.dumps({"event": "message.received", "from": "+966500000000", "message_text": "سلام"}).encode()


@pytest.fixture
async def pbx() -> AsyncIterator[ThreecxPeer]:
    peer = await ThreecxPeer.start(signing_secret="whsec")
    yield peer
    await peer.stop()


async def post(
    sender: RunningSender,
    url: str,
    *,
    kind: str = "threecx_json",
    event: str = "message.received",
    secret: str = "whsec",
) -> pb.PostEventResponse:
    request = pb.PostEventRequest(
        delivery_id="dlv_1",
        destination_kind=kind,
        url=url,
        event_name=event,
        body=BODY,
        signing_secret=secret,
    )
    answer: pb.PostEventResponse = await sender.stub.PostEvent(request, metadata=METADATA, timeout=10)
    return answer


@pytest.mark.parametrize("kind", ["threecx_json", "customer_webhook"])
async def test_an_event_is_signed_over_the_bytes_that_arrive(
    sender: RunningSender, pbx: ThreecxPeer, kind: str
) -> None:
    found = await post(sender, f"{pbx.base_url}/in?x=1", kind=kind)
    assert (found.outcome, found.http_status) == (pb.POST_OUTCOME_TAKEN, 200)
    [event] = pbx.received
    assert event.accepted
    assert event.body == BODY
    assert event.headers["x-whatsapp-gateway-event"] == "message.received"
    assert event.headers["x-whatsapp-gateway-delivery"] == "dlv_1"
    stamp = event.headers["x-whatsapp-gateway-timestamp"]
    age = datetime.now(UTC) - datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(age.total_seconds()) < 5
    mac = hmac.new(b"whsec", stamp.encode() + b"." + event.body, hashlib.sha256).hexdigest()
    assert event.headers["x-whatsapp-gateway-signature"] == f"sha256={mac}"


async def test_a_wrong_secret_is_noticed_by_the_other_side(sender: RunningSender, pbx: ThreecxPeer) -> None:
    found = await post(sender, pbx.base_url, secret="wrong")
    assert (found.outcome, found.http_status) == (pb.POST_OUTCOME_RETRY, 401)
    assert not pbx.received[0].accepted


@pytest.mark.parametrize(
    ("script", "outcome", "status", "wait_seconds"),
    [
        (Script(204), pb.POST_OUTCOME_TAKEN, 204, 0),
        (Script(410), pb.POST_OUTCOME_GONE, 410, 0),
        (Script(500), pb.POST_OUTCOME_RETRY, 500, 0),
        (Script(503, headers={"Retry-After": "30"}), pb.POST_OUTCOME_RETRY, 503, 30),
        (Script(302, headers={"Location": "/elsewhere"}), pb.POST_OUTCOME_RETRY, 302, 0),
        (Script(drop="before_answer"), pb.POST_OUTCOME_RETRY, 0, 0),
        (Script(200, b"x" * 2_000_000), pb.POST_OUTCOME_TAKEN, 200, 0),
    ],
)
async def test_answers(
    sender: RunningSender, pbx: ThreecxPeer, script: Script, outcome: int, status: int, wait_seconds: int
) -> None:
    pbx.script("*", script)
    found = await post(sender, pbx.base_url)
    assert (found.outcome, found.http_status) == (outcome, status)
    assert found.retry_after.seconds == wait_seconds
    assert len(pbx.received) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:80/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://127。0。0。2:9/",
        "ftp://example.com/",
        "http://user:password@127.0.0.1/",
        "not a url",
        "",
    ],
)
async def test_addresses_that_are_blocked(sender: RunningSender, url: str) -> None:
    found = await post(sender, url)
    expected = pb.POST_OUTCOME_RETRY if "。" in url else pb.POST_OUTCOME_BLOCKED
    assert (found.outcome, found.http_status) == (expected, 0)
    assert "password" not in found.explanation


async def test_without_leave_loopback_is_blocked_in_every_spelling(
    start_sender: StartSender, pbx: ThreecxPeer
) -> None:
    sender = await start_sender(ALLOWED_PRIVATE_RANGES="")
    port = pbx.base_url.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "127。0。0。1", "0.0.0.0", "[::1]", "0x7f000001", "127.1"):
        found = await post(sender, f"http://{host}:{port}/")
        assert (host, found.outcome) == (host, pb.POST_OUTCOME_BLOCKED)
    assert pbx.received == []


async def test_production_wants_https(start_sender: StartSender, pbx: ThreecxPeer) -> None:
    sender = await start_sender(ENVIRONMENT="production")
    found = await post(sender, pbx.base_url)
    assert found.outcome == pb.POST_OUTCOME_BLOCKED
    assert "https" in found.explanation
    assert pbx.received == []


@pytest.mark.parametrize("name", ["message\r\nX-Evil: 1", "message\x00", "رسالة", "m" * 5_000])
async def test_headers_cannot_be_injected(sender: RunningSender, pbx: ThreecxPeer, name: str) -> None:
    found = await post(sender, pbx.base_url, event=name)
    assert found.outcome == pb.POST_OUTCOME_BLOCKED
    assert pbx.received == []


async def test_the_built_in_inbox_and_unknown_kinds(sender: RunningSender) -> None:
    assert (await post(sender, "", kind="sandbox_inbox")).outcome == pb.POST_OUTCOME_TAKEN
    assert (await post(sender, "https://example.com", kind="fax")).outcome == pb.POST_OUTCOME_BLOCKED


async def test_a_name_that_does_not_exist_is_tried_again_later(sender: RunningSender) -> None:
    assert (await post(sender, "http://nowhere.invalid/")).outcome == pb.POST_OUTCOME_RETRY
