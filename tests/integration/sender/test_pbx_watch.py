"""A real sender watches a stand-in phone system: missed calls as they happen, gaps, restarts, hostile answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from hubgate.sender.v1 import threecx_api_pb2 as pb
from peers.pbx_api import CLIENT_ID, CLIENT_SECRET, PbxApiPeer
from peers.peer import Script
from peers.running_sender import METADATA, RunningSender

StartSender = Callable[..., Awaitable[RunningSender]]
CALLER = "+966500000001"


@pytest.fixture
async def pbx() -> AsyncIterator[PbxApiPeer]:
    peer = await PbxApiPeer.start()
    yield peer
    await peer.stop()


class Watching:
    """A watching under test: what it said so far."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.missed: list[pb.MissedPbxCall] = []
        self.news = pb.WatchPbxResponse()

    async def until(self, fits: Callable[["Watching"], bool]) -> None:
        """Reads on until it fits. Raises TimeoutError."""
        async with asyncio.timeout(75):
            while not fits(self):
                news = await self._call.read()
                if isinstance(news, pb.WatchPbxResponse):
                    self.news = news
                else:
                    raise AssertionError(f"the watching ended: {await self._call.code()}")
                self.missed += self.news.missed

    async def until_missed(self, count: int = 1) -> list[str]:
        """The callers, once there are so many."""
        await self.until(lambda seen: len(seen.missed) >= count)
        return [each.caller for each in self.missed]

    async def until_told(self, state: str, reason: str = "") -> None:
        """Reads on until it says so."""
        await self.until(lambda seen: (seen.news.state, seen.news.reason) == (state, reason))

    def close(self) -> None:
        """Ends it."""
        self._call.cancel()


def connection(pbx: PbxApiPeer, secret: str = CLIENT_SECRET) -> pb.PbxConnection:
    return pb.PbxConnection(
        integration_id="int_1", base_url=pbx.base_url, client_id=CLIENT_ID, client_secret=secret
    )


def watch(
    sender: RunningSender,
    pbx: PbxApiPeer,
    *,
    known_ago: timedelta = timedelta(minutes=10),
    secret: str = CLIENT_SECRET,
    listed: bool = False,
) -> Watching:
    request = pb.WatchPbxRequest(connection=connection(pbx, secret), every_extension_listed=listed)
    request.known_until.FromDatetime(datetime.now(UTC) - known_ago)
    return Watching(sender.stub.WatchPbx(request, metadata=METADATA))


async def test_a_missed_call_is_told_once_and_an_answered_one_never(
    sender: RunningSender, pbx: PbxApiPeer
) -> None:
    watching = watch(sender, pbx)
    await pbx.wait_watched()
    await watching.until_told("watching")
    call = await pbx.ring("+966500000002", "150", "151")
    await asyncio.sleep(0.2)
    await pbx.answer(call, "151")
    await asyncio.sleep(0.2)
    await pbx.hang_up(call)
    await pbx.miss(CALLER, "150", "151")
    assert await watching.until_missed() == [CALLER]
    await pbx.miss("+966500000003")
    assert await watching.until_missed(2) == [CALLER, "+966500000003"]
    watching.close()


async def test_what_an_unlisted_extension_answered_is_not_missed(
    sender: RunningSender, pbx: PbxApiPeer
) -> None:
    pbx.hidden.add("152")
    watching = watch(sender, pbx)
    await pbx.wait_watched()
    await watching.until_told("watching")
    call = await pbx.ring("+966500000002", "150", "152")
    await asyncio.sleep(0.2)
    await pbx.answer(call, "152")
    await pbx.hang_up(call)
    await pbx.miss(CALLER)
    assert await watching.until_missed() == [CALLER]
    watching.close()


async def test_with_every_extension_listed_the_socket_is_enough(
    sender: RunningSender, pbx: PbxApiPeer
) -> None:
    pbx.writes_history = False
    watching = watch(sender, pbx, listed=True)
    await pbx.wait_watched()
    await watching.until_told("watching")
    await pbx.miss(CALLER, "150", "151")
    assert await watching.until_missed() == [CALLER]
    assert not watching.missed[0].from_history and watching.missed[0].reached_dn in {"150", "151"}
    watching.close()


async def test_calls_of_a_gap_are_found_in_the_history(sender: RunningSender, pbx: PbxApiPeer) -> None:
    pbx.past_call("+966500000009", timedelta(minutes=50))
    for number in range(450):
        pbx.past_call(f"+9665010{number:05}", timedelta(minutes=12), answered=True)
    pbx.past_call("+966500000001", timedelta(minutes=12))
    pbx.past_call("+966500000002", timedelta(minutes=9), answered=True)
    pbx.past_call("+966500000003", timedelta(minutes=8))
    pbx.past_call("anonymous", timedelta(minutes=8))
    watching = watch(sender, pbx, known_ago=timedelta(minutes=20))
    assert await watching.until_missed(2) == ["+966500000001", "+966500000003"]
    behind = datetime.now(UTC) - watching.news.known_until.ToDatetime(UTC)
    assert timedelta(minutes=5) <= behind < timedelta(minutes=6)
    watching.close()


async def test_a_restart_of_the_phone_system_and_lost_frames_lose_no_call(
    sender: RunningSender, pbx: PbxApiPeer
) -> None:
    watching = watch(sender, pbx)
    await pbx.wait_watched()
    await watching.until_told("watching")
    await pbx.restart()
    pbx.past_call("+966500000001", timedelta(minutes=1))
    await pbx.wait_watched()
    assert await watching.until_missed() == ["+966500000001"]
    call = await pbx.ring("+966500000002", "150")
    await asyncio.sleep(0.2)
    await pbx.lose_frames(3)
    await pbx.hang_up(call)
    assert await watching.until_missed(2) == ["+966500000001", "+966500000002"]
    watching.close()


async def test_a_token_that_ends_in_mid_stream_is_renewed_once_for_all(
    sender: RunningSender, pbx: PbxApiPeer
) -> None:
    watching = watch(sender, pbx)
    await pbx.wait_watched()
    await watching.until_told("watching")
    given = pbx.tokens_given
    pbx.token = "another application's"
    await pbx.miss(CALLER, "150", "151")
    assert await watching.until_missed() == [CALLER]
    assert pbx.tokens_given == given + 1
    watching.close()


@pytest.mark.parametrize(
    ("key", "script", "reason"),
    [
        ("connect", Script(status=200, body=b"<html>login</html>"), "token_not_json"),
        ("connect", Script(status=200, body={"access_token": "a\r\nX-Evil: 1"}), "token_missing"),
        ("connect", Script(status=302, headers={"Location": "http://127.0.0.1:1/"}), "token_http_302"),
        ("connect", Script(drop="before_answer"), "connection_lost"),
        ("socket", Script(status=200, body=b"<html>hello</html>"), "socket_http_200"),
        ("socket", Script(status=302, headers={"Location": "http://127.0.0.1:1/"}), "socket_http_302"),
        ("callcontrol", Script(status=200, body=b"[" * 100_000), "not_json"),
        ("callcontrol", Script(status=200, body=b" " * 300_000), "answer_cut_short"),
        ("callcontrol", Script(status=200, body={"no": "list"}), "odd_state"),
        ("callcontrol", Script(status=403), "http_403"),
    ],
)
async def test_a_phone_system_that_answers_oddly_is_named_and_watched_again(
    sender: RunningSender, pbx: PbxApiPeer, key: str, script: Script, reason: str
) -> None:
    pbx.script(key, script)
    watching = watch(sender, pbx)
    await watching.until_told("failing", reason)
    assert CLIENT_SECRET not in str(watching.news)
    if reason != "http_403":
        pbx.forget_scripts()
        await pbx.wait_watched()
        await watching.until(lambda seen: seen.news.state == "watching")
    watching.close()


async def test_a_wrong_secret_is_said_and_not_tried_again_and_again(
    sender: RunningSender, pbx: PbxApiPeer
) -> None:
    watching = watch(sender, pbx, secret="wrong")
    await watching.until_told("failing", "credentials_refused")
    await watching.until_told("failing", "credentials_refused")
    asked = len(pbx.received)
    await asyncio.sleep(3)
    assert len(pbx.received) == asked
    watching.close()


async def test_frames_that_are_none_do_not_end_the_watching(sender: RunningSender, pbx: PbxApiPeer) -> None:
    watching = watch(sender, pbx)
    await pbx.wait_watched()
    await watching.until_told("watching")
    frames: list[Any] = [
        {},
        [],
        {"sequence": True, "event": {}},
        {"sequence": 1, "event": {"event_type": 99}},
    ]
    for frame in frames:
        await pbx.send_frame(frame)
    evil = {"event_type": 0, "entity": "/callcontrol/../../xapi/v1/Users/participants/1"}
    await pbx.send_frame({"sequence": 1, "event": evil})
    await pbx.miss(CALLER)
    assert await watching.until_missed() == [CALLER]
    assert not [each for each in pbx.received if "Users" in each.path]
    await pbx.send_frame("<html>")
    await watching.until_told("failing", "socket_not_json")
    watching.close()


async def test_addresses_that_are_not_allowed_are_not_connected_to(
    start_sender: StartSender, pbx: PbxApiPeer
) -> None:
    sender = await start_sender(ALLOWED_PRIVATE_RANGES="10.99.0.0/16")
    watching = watch(sender, pbx)
    await watching.until_told("failing", "address_refused")
    assert not pbx.received
    watching.close()


async def test_trunks_are_read_with_their_webhook(sender: RunningSender, pbx: PbxApiPeer) -> None:
    url = pbx.add_trunk("10007", "+966110000000")
    pbx.trunks.append({"Number": "10008"})
    request = pb.ReadPbxTrunksRequest(connection=connection(pbx))
    found = await sender.stub.ReadPbxTrunks(request, metadata=METADATA)
    [trunk] = found.trunks
    assert (trunk.number, trunk.webhook_url, list(trunk.did_numbers)) == ("10007", url, ["+966110000000"])
    refused = pb.ReadPbxTrunksRequest(connection=connection(pbx, "wrong"))
    assert (await sender.stub.ReadPbxTrunks(refused, metadata=METADATA)).failure == "credentials_refused"


async def test_chats_are_read_page_by_page_with_whoever_is_named(
    sender: RunningSender, pbx: PbxApiPeer
) -> None:
    for number in range(205):
        pbx.chat(CALLER, f"Text {number}", agent="150", name="Sara")
    pbx.chat(CALLER, "Thanks")
    pbx.chats.append({**pbx.chats[0], "MessageId": 999, "Message": None})
    pbx.chats[0]["Recipients"] = [{"Number": "+966500000002"}]
    request = pb.ReadPbxChatsRequest(connection=connection(pbx))
    request.since.FromDatetime(datetime.now(UTC) - timedelta(minutes=1))
    found = await sender.stub.ReadPbxChats(request, metadata=METADATA)
    assert (found.failure, len(found.messages)) == ("", 206)
    assert list(found.messages[0].phones) == ["+966500000002"]
    assert list(found.messages[205].phones) == [CALLER]
    pbx.script("xapi", Script(status=403))
    assert (await sender.stub.ReadPbxChats(request, metadata=METADATA)).failure == "http_403"


async def test_a_watching_ends_by_itself_when_the_sender_leaves(
    start_sender: StartSender, pbx: PbxApiPeer
) -> None:
    sender = await start_sender()
    watching = watch(sender, pbx)
    await watching.until_told("watching")
    sender.stop.set()
    with pytest.raises((AssertionError, grpc.aio.AioRpcError)):
        await watching.until_told("never")
