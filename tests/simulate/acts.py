"""Owns what people do in a history: persons write, agents and systems ask, administrators switch."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from datetime import timedelta
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from policycore.after_commit import GUARDED_FOR
from policycore.errors import PolicyCoreError
from policycore.inbound import (
    ChatKind,
    IdentityLink,
    InboundEvent,
    Message,
    PersonRef,
)
from policycore.model import EventType, Intent, PauseFact, Source
from policycore.registry.pauses import CONFIRMATION_SECONDS
from policycore.registry.snapshot import PauseConfig
from policycore.usecases.command import SubmitCommand
from simulate.configuration import ACCOUNT, INSTANCES, INTEGRATION, add_pause, lift_pause
from simulate.outside import Answer, Held, Request, Says, Written, lid_of
from simulate.replica import Replica
from simulate.rows import PersonRow, SuppressionRow
from simulate.store import Transaction
from simulate.world import NoAnswerError, World

PHONES = ("+966500000001", "+966500000002", "+966500000003")
_TEXTS = {
    Says.NOTHING: ("Where is my order?", "thanks", "أين طلبي؟", "no"),
    Says.STOP: ("STOP", "unsubscribe", "إلغاء الاشتراك"),
    Says.START: ("START", "ابدأ"),
}
_WINDOW = timedelta(hours=24)
_MARGIN = timedelta(seconds=60)
_HEARS_WITHIN_SECONDS = 8.0


def write(world: World, says: Says, *, phone: str = "", instance_id: str = "") -> Written:
    """A person writes, now or (as its back end says) some time ago."""
    random = world.random
    phone = phone or random.choice(PHONES)
    instance_id = instance_id or random.choice(INSTANCES)
    provider_at = world.clock() - _age(world)
    direct = says is not Says.NOTHING or random.random() < 0.9
    key = f"in-{len(world.outside.written) + 1}"
    ref = _named(world, phone)
    written = Written(key, instance_id, phone, says, provider_at, opens=direct, hidden=not ref.phone)
    world.outside.written.append(written)
    event = InboundEvent(
        event_key=key,
        report=Message(key, kind=1, text=random.choice(_TEXTS[says]), from_business=False),
        person=ref,
        chat=ChatKind.DIRECT if direct else ChatKind.GROUP,
        provider_time=provider_at,
    )
    world.report(instance_id, (event,), (written,))
    return written


def _named(world: World, phone: str) -> PersonRef:
    """How a back end names a person: mostly by number, at times by linked id, and at times by both."""
    [kind] = world.random.choices(("number", "hidden", "both"), (10, 2, 3) if world.hides else (1, 0, 0))
    return PersonRef("" if kind == "hidden" else phone, "" if kind == "number" else lid_of(phone))


def closes_in(world: World, written: Written) -> float:
    """Seconds until the window closes that a message opened, less its margin."""
    return (written.provider_at + _WINDOW - _MARGIN - world.clock()).total_seconds()


def _age(world: World) -> timedelta:
    drawn = world.random.random()
    if drawn < 0.6:
        return timedelta(seconds=world.random.random() * 5)
    if drawn < 0.85:
        # The window closes while the history goes on.
        return _WINDOW - _MARGIN - timedelta(seconds=world.random.uniform(-5, 90))
    if drawn < 0.95:
        return timedelta(hours=world.random.uniform(0, 30))
    return timedelta(seconds=-world.random.uniform(0, 400))


async def ask(world: World, *, phone: str = "", instance_id: str = "") -> None:
    """An agent or a system wants a message sent, and comes again where it heard nothing."""
    random = world.random
    outside = world.outside
    number = len(outside.requests) + 1
    keyed = random.random() < 0.5
    intent = _intent(world, number, phone or random.choice(PHONES), instance_id)
    key = f"key-{number}" if keyed else ""
    only_validates = random.random() < 0.06
    request = Request(key, intent.phone_text, intent.text, world.clock(), only_validates)
    outside.requests.append(request)
    repeats = random.randint(1, 3) if keyed and random.random() < 0.4 else 1
    for _ in range(repeats):
        world.go(_ask_until_heard(world, request, _command(world, intent, key, only_validates)))
        await asyncio.sleep(random.choice((0.0, random.random() * 6)))


def _intent(world: World, number: int, phone: str, instance_id: str) -> Intent:
    random = world.random
    text = f"Your ticket {number} has been updated."
    drawn = 0.3 if instance_id else random.random()
    if drawn < 0.2:
        return Intent(
            account_id=ACCOUNT,
            source=Source.THREECX,
            caller="edge",
            event_type=EventType.MISSED_CALL,
            integration_id=INTEGRATION,
            phone_text=phone,
            call_time=str(number),
        )
    return Intent(
        account_id=ACCOUNT,
        source=Source.SEND_API if drawn < 0.4 else Source.THREECX,
        caller="edge",
        event_type=EventType.OUTBOUND_MESSAGE,
        integration_id=None if drawn < 0.4 else INTEGRATION,
        instance_ref=(instance_id or random.choice(INSTANCES)) if drawn < 0.4 else "",
        phone_text=phone,
        text=text,
        purpose_text="support",
        conversation_id=f"chat-{phone[-1]}" if random.random() < 0.4 else "",
    )


def _command(world: World, intent: Intent, key: str, only_validates: bool) -> SubmitCommand:
    signed = world.random.random() < 0.3
    return SubmitCommand(
        intent,
        key_scope=ACCOUNT if key else "",
        key=key,
        body_digest=sha256(intent.text.encode()).digest() if key else b"",
        claim=world.random.randbytes(32) if signed else b"",
        claim_expires_at=world.clock() + timedelta(minutes=10) if signed else None,
        validate_only=only_validates,
    )


async def _ask_until_heard(world: World, request: Request, command: SubmitCommand) -> None:
    """With a key, a caller who heard nothing comes again; without one nobody may."""
    for _ in range(8):
        replica = world.any_replica()
        if replica is not None:
            work = replica.submitter.submit(
                command, requests_per_minute=60, timeout_seconds=_HEARS_WITHIN_SECONDS
            )
            try:
                decided = await world.call(replica, work)
            except (PolicyCoreError, NoAnswerError):
                pass
            else:
                request.answers.append(Answer(world.clock(), decided))
                return
        if not command.key:
            return
        await asyncio.sleep(world.random.random() * 8)


async def pause(world: World) -> None:
    """An administrator pauses something, and lifts it some time later."""
    random = world.random
    scope = random.choice(("platform", "account", "instance", "integration", "person"))
    scope_id = _scope_id(world, scope)
    replica = world.any_replica()
    if scope_id is None or replica is None:
        return
    held = Held(scope, scope_id, world.clock())
    world.outside.pauses.append(held)
    pause_id = f"pau_{len(world.outside.pauses)}"
    fact = PauseFact(pause_id, scope, "administrator", "", None)
    try:
        await world.call(replica, _pause(replica, PauseConfig(scope_id, fact)))
    except (PolicyCoreError, NoAnswerError):
        pass
    else:
        held.acknowledged_at = world.clock()
    await asyncio.sleep(random.random() * 25)
    held.lift_asked_at = world.clock()
    await _until_done(world, lambda replica: _lift(replica, pause_id))


def _scope_id(world: World, scope: str) -> str | None:
    if scope == "person":
        return person_of(world, world.random.choice(PHONES))
    ids = {"platform": "", "account": ACCOUNT, "integration": INTEGRATION}
    return ids.get(scope, world.random.choice(INSTANCES))


def person_of(world: World, phone: str) -> str | None:
    """Who a number stands for, if anybody knows."""
    person: str | None = world.store.table("identities").get((ACCOUNT, "phone", phone))
    return person


async def suppress(world: World) -> None:
    """An administrator suppresses a person, and lifts it some time later."""
    random = world.random
    phone = random.choice(PHONES)
    person_id, replica = person_of(world, phone), world.any_replica()
    if person_id is None or replica is None:
        return
    held = Held("suppression", phone, world.clock())
    world.outside.suppressions.append(held)
    entry = f"sup_admin_{len(world.outside.suppressions)}"
    try:
        await world.call(replica, _suppress(replica, entry, person_id))
    except (PolicyCoreError, NoAnswerError):
        pass
    else:
        held.acknowledged_at = world.clock()
    await asyncio.sleep(random.random() * 25)
    held.lift_asked_at = world.clock()
    await _until_done(world, lambda replica: _lift_suppression(replica, entry, person_id))


async def _pause(replica: Replica, pause: PauseConfig) -> None:
    async with replica.store.begin(replica.process) as tx:
        version = await add_pause(tx, pause)
    await replica.speaker.confirm(version, CONFIRMATION_SECONDS)


async def _lift(replica: Replica, pause_id: str) -> None:
    async with replica.store.begin(replica.process) as tx:
        if tx.get("pauses", pause_id) is not None:
            await lift_pause(tx, pause_id)
    replica.known.look()


async def _suppress(replica: Replica, entry: str, person_id: str) -> None:
    async with replica.store.begin(replica.process) as tx:
        person_id = await _lock_person(tx, person_id)
        row = SuppressionRow(entry, person_id, "administrator", "all", tx.now)
        await tx.insert("suppressions", entry, row)
        until = tx.now + GUARDED_FOR
    replica.speaker.opted_out(person_id, until)


async def _lift_suppression(replica: Replica, entry: str, person_id: str) -> None:
    async with replica.store.begin(replica.process) as tx:
        person_id = await _lock_person(tx, person_id)
        row = tx.get("suppressions", entry)
        if row is not None:
            await tx.put("suppressions", entry, replace(row, lifted_at=tx.now))
        blocked = any(
            each.person_id == person_id and each.scope == "all" and each.lifted_at is None
            for each in tx.rows("suppressions")
        )
    if not blocked:
        replica.speaker.opt_out_lifted(person_id)


async def _lock_person(tx: Transaction, person_id: str) -> str:
    """Locks a person; returns who that is by now."""
    await tx.lock([("persons", person_id)])
    person: PersonRow = tx.get("persons", person_id)
    return person_id if person.merged_into is None else await _lock_person(tx, person.merged_into)


async def _until_done(world: World, work: Callable[[Replica], Coroutine[Any, Any, None]]) -> None:
    """An administrator who sees an error tries again."""
    for _ in range(60):
        replica = world.any_replica()
        if replica is not None:
            with contextlib.suppress(PolicyCoreError, NoAnswerError):
                await world.call(replica, work(replica))
                return
        await asyncio.sleep(1.0)


def link(world: World) -> None:
    """A back end tells that a number and a linked id are one person's."""
    if not world.hides:
        return
    phone = world.random.choice(PHONES)
    one, other = PersonRef(phone), PersonRef("", lid_of(phone))
    if world.random.random() < 0.5:
        one, other = other, one
    event = InboundEvent(f"link-{world.clock.seconds()}", IdentityLink(one, other))
    world.report(world.random.choice(INSTANCES), (event,))
