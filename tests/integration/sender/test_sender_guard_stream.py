"""The guard over the wire: silence, pauses, opt-outs, and who may speak."""

import asyncio
import time
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from hubgate.sender.v1 import sender_service_pb2 as pb
from peers.instructor import GuardVoice
from peers.running_sender import METADATA, RunningSender

SANDBOX = pb.InstanceConnection(instance_id="ins_1", backend="sandbox")


async def code(sender: RunningSender, **words: Any) -> str:
    found = await sender.deliver(SANDBOX, **words)
    assert (found.outcome == pb.OUTCOME_NOT_ATTEMPTED) == (found.code != "sandbox_accepted")
    return found.code


async def test_silence_stops_everything_within_about_a_second(sender: RunningSender) -> None:
    assert await code(sender) == "sandbox_accepted"
    sender.voice.fall_silent()
    await asyncio.sleep(1.25)
    assert await code(sender) == "guard_silent"
    await sender.voice.say()
    assert await code(sender) == "sandbox_accepted"


async def test_a_second_voice_is_enough(sender: RunningSender) -> None:
    other = GuardVoice(sender.channel, "core-2", METADATA)
    await other.say()
    other.beat()
    await sender.voice.close()
    await asyncio.sleep(1.25)
    assert await code(sender) == "sandbox_accepted"
    await other.close()


@pytest.mark.parametrize(
    ("guarded", "expected"),
    [
        (pb.Guarded(scope=pb.GUARD_SCOPE_PLATFORM), "guarded_platform"),
        (pb.Guarded(scope=pb.GUARD_SCOPE_ACCOUNT, scope_id="acc_1"), "guarded_account"),
        (pb.Guarded(scope=pb.GUARD_SCOPE_INSTANCE, scope_id="ins_1"), "guarded_instance"),
        (pb.Guarded(scope=pb.GUARD_SCOPE_INTEGRATION, scope_id="int_1"), "guarded_integration"),
        (pb.Guarded(scope=pb.GUARD_SCOPE_PERSON, scope_id="psn_1"), "guarded_person"),
        (pb.Guarded(scope=pb.GUARD_SCOPE_PERSON, scope_id="psn_2"), "sandbox_accepted"),
    ],
)
async def test_a_pause_holds_from_the_moment_it_is_obeyed(
    sender: RunningSender, guarded: pb.Guarded, expected: str
) -> None:
    await sender.voice.say(guarded)
    assert await code(sender) == expected
    await sender.voice.say()
    assert await code(sender) == "sandbox_accepted"


async def test_an_opt_out_stops_all_but_its_confirmation(sender: RunningSender) -> None:
    await sender.voice.say(pb.Guarded(scope=pb.GUARD_SCOPE_PERSON, scope_id="psn_1", opt_out=True))
    assert await code(sender) == "guarded_person"
    assert await code(sender, confirms_opt_out=True) == "sandbox_accepted"
    assert await code(sender, person_id="psn_2") == "sandbox_accepted"


async def test_a_pause_ends_by_itself(sender: RunningSender) -> None:
    until = Timestamp()
    until.FromNanoseconds(int((time.time() + 0.4) * 1e9))
    await sender.voice.say(pb.Guarded(scope=pb.GUARD_SCOPE_ACCOUNT, scope_id="acc_1", until=until))
    assert await code(sender) == "guarded_account"
    await asyncio.sleep(0.5)
    assert await code(sender) == "sandbox_accepted"


async def test_a_change_adds_to_what_was_said(sender: RunningSender) -> None:
    await sender.voice.say(pb.Guarded(scope=pb.GUARD_SCOPE_ACCOUNT, scope_id="acc_2"))
    await sender.voice.say(pb.Guarded(scope=pb.GUARD_SCOPE_ACCOUNT, scope_id="acc_1"), snapshot=False)
    assert await code(sender) == "guarded_account"
    assert await code(sender, account_id="acc_2") == "guarded_account"
    assert await code(sender, account_id="acc_3") == "sandbox_accepted"


async def test_a_speaker_that_comes_back_counts_anew(sender: RunningSender) -> None:
    for _ in range(3):
        await sender.voice.say(pb.Guarded(scope=pb.GUARD_SCOPE_ACCOUNT, scope_id="acc_1"))
    await sender.voice.close()
    again = GuardVoice(sender.channel, sender.instructor.speaker_id, METADATA)
    await again.say()
    again.beat()
    assert await code(sender) == "sandbox_accepted"
    await again.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (pb.GuardRequest(version=1, snapshot=True), "SPEAKER_MISSING"),
        (
            pb.GuardRequest(speaker_id="x", version=1, snapshot=True, guarded=[pb.Guarded()]),
            "GUARD_NOT_UNDERSTOOD",
        ),
    ],
)
async def test_what_cannot_be_obeyed_is_refused(
    sender: RunningSender, said: pb.GuardRequest, reason: str
) -> None:
    call = sender.stub.Guard(metadata=METADATA)
    await call.write(said)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == ("hubgate", reason)
