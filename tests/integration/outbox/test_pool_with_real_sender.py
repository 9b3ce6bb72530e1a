"""The pool and the guards with the real sender: both sides of the wire mean the same."""

import base64
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from integration.outbox.scripted_sender import INSTANCE, SNAPSHOT, message, until
from msgspec import structs

from peers.running_sender import TOKEN, start_sender
from policycore.dispatch.guards import GuardBroadcaster
from policycore.dispatch.links import SenderLink
from policycore.dispatch.permits import PermitSigner
from policycore.dispatch.senders import SenderPool
from policycore.model import PauseFact
from policycore.ports import OutboundMessage, Outcome
from policycore.registry.snapshot import PauseConfig


def fresh(number: int, person: str = "psn_1") -> OutboundMessage:
    now = datetime.now(UTC)
    return structs.replace(
        message(number),
        person_id=person,
        decided_at=now,
        send_after=now,
        not_after=now + timedelta(minutes=2),
    )


async def test_permits_guards_and_answers_are_understood() -> None:
    signer = PermitSigner("core", os.urandom(32), os.urandom)
    sender = await start_sender(PERMIT_PUBLIC_KEYS=f"core:{base64.b64encode(signer.public_key).decode()}")
    snapshot = SNAPSHOT
    link = SenderLink(sender.address, TOKEN, time.monotonic)
    guards = GuardBroadcaster([link], lambda: snapshot, lambda: True, lambda: datetime.now(UTC), "core-1")
    pool = SenderPool([link], signer, time.monotonic)
    await guards.start()
    await pool.start()
    try:
        await until(pool.available)
        accepted = await pool.deliver(fresh(1), INSTANCE)
        assert accepted.outcome is Outcome.ACCEPTED, accepted
        assert accepted.external_message_id
        assert [receipt.kind for receipt in accepted.receipts] == ["sent", "delivered", "read"]
        unknown = await pool.deliver(structs.replace(fresh(2), phone="+966500000001"), INSTANCE)
        assert unknown.outcome is Outcome.UNKNOWN
        dead = await pool.deliver(structs.replace(fresh(3), not_after=datetime.now(UTC)), INSTANCE)
        assert (dead.outcome, dead.code) == (Outcome.NOT_ATTEMPTED, "permit_expired")

        guards.opted_out("psn_gone", datetime.now(UTC) + timedelta(minutes=5))
        await _obeys(pool, "psn_gone", "guarded_person")
        confirming = structs.replace(fresh(5, "psn_gone"), confirms_opt_out=True)
        assert (await pool.deliver(confirming, INSTANCE)).outcome is Outcome.ACCEPTED

        pause = PauseConfig("ins_1", PauseFact("pau_1", "instance", "amal", "", None))
        snapshot = replace(SNAPSHOT, version=2, pauses=(pause,))
        assert await guards.confirm(2, 2.0) == 1
        held = await pool.deliver(fresh(6), INSTANCE)
        assert (held.outcome, held.code, held.handed_over) == (
            Outcome.NOT_ATTEMPTED,
            "guarded_instance",
            True,
        )
        state, _, error = await pool.probe(INSTANCE)
        assert (state, error) == ("open", "")
    finally:
        await pool.close(0.0)
        await guards.close()
        await link.close()
        await sender.close()


async def _obeys(pool: SenderPool, person_id: str, code: str) -> None:
    end = time.monotonic() + 2.0
    while (await pool.deliver(fresh(4, person_id), INSTANCE)).code != code:
        assert time.monotonic() < end, "the guard was not obeyed"
