"""What senders are told to stop, when, and that they are waited for."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from integration.outbox.scripted_sender import (
    NOW,
    SNAPSHOT,
    ScriptedSender,
    World,
    serving,
    until,
)

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.links import SenderLink
from policycore.model import PauseFact
from policycore.registry.snapshot import PauseConfig, Snapshot


def paused(version: int, *pauses: PauseConfig) -> Snapshot:
    return replace(SNAPSHOT, version=version, pauses=pauses)


def pause(scope: str, scope_id: str, until: datetime | None = None) -> PauseConfig:
    return PauseConfig(scope_id, PauseFact(f"pau_{scope_id}", scope, "amal", "", until))


async def test_the_guard_begins_with_everything_and_beats() -> None:
    sender = ScriptedSender()
    over = pause("person", "psn_over", NOW - timedelta(seconds=1))
    world = World([0], snapshot=paused(4, pause("instance", "ins_1"), pause("platform", ""), over))
    async with serving(sender) as port:
        world.ports = [port]
        async with world:
            await until(lambda: len(sender.guards) >= 4)
    first, *beats = sender.guards
    assert first.snapshot
    assert [(g.scope, g.scope_id) for g in first.guarded] == [
        (pb.GUARD_SCOPE_INSTANCE, "ins_1"),
        (pb.GUARD_SCOPE_PLATFORM, ""),
    ]
    assert {(beat.snapshot, beat.version, len(beat.guarded)) for beat in beats} == {(False, first.version, 0)}
    assert {guard.speaker_id for guard in sender.guards} == {"core-1"}


async def test_a_change_is_said_at_once_and_confirmed() -> None:
    one, other = ScriptedSender(), ScriptedSender()
    async with serving(one) as first, serving(other) as second, World([first, second]) as world:
        await until(lambda: all(link.obedient() for link in world.links))
        assert await world.guards.confirm(1, 1.0) == 2
        world.snapshot = paused(2, pause("account", "acc_1"))
        began = time.monotonic()
        assert await world.guards.confirm(2, 2.0) == 2
        assert time.monotonic() - began < 0.5
        for sender in (one, other):
            said = [guard for guard in sender.guards if guard.snapshot][-1]
            assert [guarded.scope_id for guarded in said.guarded] == ["acc_1"]
            assert said.version > sender.guards[0].version
        world.snapshot = paused(3)
        world.guards.changed()
        assert await world.guards.confirm(3, 2.0) == 2
        assert not [guard for guard in one.guards if guard.snapshot][-1].guarded


async def test_confirming_ends_in_time_and_counts_those_who_obey() -> None:
    one, other = ScriptedSender(), ScriptedSender()
    async with serving(one) as first, serving(other) as second, World([first, second]) as world:
        await until(lambda: all(link.obedient() for link in world.links))
        other.obeys = False
        world.snapshot = paused(2)
        began = time.monotonic()
        assert await world.guards.confirm(2, 0.3) == 1
        assert 0.25 < time.monotonic() - began < 0.8
        assert await world.guards.confirm(9, 0.1) == 0, "nobody here knows version 9 yet"


async def test_a_sender_that_does_not_hear_this_process_is_waited_for() -> None:
    # It may hear another policy core, which does not know of the change yet.
    one, other = ScriptedSender(), ScriptedSender()
    async with serving(other) as second:
        pass
    async with serving(one) as first, World([first, second]) as world:
        await until(world.links[0].obedient)
        world.snapshot = paused(2)
        confirming = asyncio.create_task(world.guards.confirm(2, 30.0))
        await until(lambda: world.links[0].obeyed_version == 2)
        await asyncio.sleep(0.1)
        assert not confirming.done()
        async with serving(other, second):
            assert await confirming == 2


async def test_opt_outs_are_guarded_until_they_end_or_are_lifted() -> None:
    sender = ScriptedSender()
    async with serving(sender) as port, World([port]) as world:
        await world.ready()
        world.guards.opted_out("psn_1", NOW + timedelta(minutes=5))
        world.guards.opted_out("psn_1", NOW + timedelta(minutes=1))
        world.guards.opted_out("psn_2", NOW)

        def said() -> list[tuple[str, bool, datetime]]:
            latest = [guard for guard in sender.guards if guard.snapshot][-1]
            return [(g.scope_id, g.opt_out, g.until.ToDatetime(UTC)) for g in latest.guarded]

        await until(lambda: said() == [("psn_1", True, NOW + timedelta(minutes=5))])
        world.guards.opt_out_lifted("psn_1")
        await until(lambda: said() == [])


async def test_one_who_knows_nothing_new_falls_silent() -> None:
    sender = ScriptedSender()
    async with serving(sender) as port, World([port]) as world:
        await world.ready()
        world.fresh = False
        await until(lambda: not world.pool.available(), 2.0)
        heard = len(sender.guards)
        world.guards.opted_out("psn_1", NOW + timedelta(minutes=5))
        await asyncio.sleep(0.6)
        assert len(sender.guards) == heard
        world.fresh = True
        await world.ready()
        assert sender.guards[heard].snapshot
        assert [guarded.scope_id for guarded in sender.guards[heard].guarded] == ["psn_1"]


async def test_after_a_break_the_whole_guard_is_said_again() -> None:
    world = World([0], snapshot=paused(2, pause("instance", "ins_1")))
    async with serving(ScriptedSender()) as port:
        world.ports = [port]
        await world.__aenter__()
        await world.ready()
    try:
        await until(lambda: not world.pool.available())
        sender = ScriptedSender()
        async with serving(sender, port):
            await world.ready()
            assert sender.guards[0].snapshot
            assert [guarded.scope_id for guarded in sender.guards[0].guarded] == ["ins_1"]
            assert await world.guards.confirm(2, 1.0) == 1
    finally:
        await world.__aexit__()


async def test_a_sender_without_an_obeying_guard_gets_no_work() -> None:
    sender = ScriptedSender(obeys=False)
    async with serving(sender) as port, World([port]) as world:
        await until(lambda: len(sender.guards) >= 3)
        assert not world.pool.available()
        assert await world.guards.confirm(1, 0.1) == 0


def test_a_link_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError):
        _ = SenderLink("127.0.0.1:1", "token", time.monotonic).stub
