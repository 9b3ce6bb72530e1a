"""Shares of quotas: one caller cannot spend another's messages, and what is not sent comes back."""

import asyncio
import json
import os
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, update

from policycore.ledger import MessageState
from policycore.model import Action, Source
from policycore.ports import AttemptOutcome, Outcome
from policycore.reasons import ReasonCode
from policycore.store.tables import accounts, decisions, messages, quota_usage, rules
from policycore.usecases.command import Decided
from support.core_parts import CoreParts, open_core

CUSTOM = 4
SERVICE = {"source": Source.SERVICE, "caller": "billing", "integration_id": None, "instance_ref": "ins_1"}
SEND_API = {"source": Source.SEND_API, "api_key_id": "key_1", "integration_id": None, "instance_ref": "ins_1"}


async def share_out(core: CoreParts, *shares: tuple[str, int], daily: int = 10) -> None:
    """Ten messages a day for the account, and rules that share them out."""
    rule = {
        "account_id": "acc_1",
        "rules_json": json.dumps({"quota_shares": shares}),
        "author": "test",
        "created_at": core.clock(),
    }
    await core.change(insert(rules).values(**rule))
    await core.change(update(accounts).values(plan=CUSTOM, daily_limit=daily, monthly_limit=1_000))
    await core.config.refresh()


def sent(found: list[Decided]) -> int:
    return sum(each.decision.action is Action.SEND for each in found)


async def counts(core: CoreParts) -> dict[str, int]:
    """Messages of the day by what they are counted under."""
    rows = await core.rows(quota_usage)
    return {row.account_id: row.used for row in rows if len(row.period) == 10 and row.used}


async def test_a_service_cannot_spend_the_agents_replies(core: CoreParts) -> None:
    await core.inbound("Hello")
    await share_out(core, ("service", 30), ("service:billing", 20))
    service = await asyncio.gather(*(core.reply(f"Invoice {n}.", **SERVICE) for n in range(6)))
    assert sent(list(service)) == 2
    refused = next(each.decision for each in service if each.decision.action is Action.BLOCK)
    assert refused.reason is ReasonCode.DAILY_QUOTA_SPENT
    finding = next(each for each in refused.findings if each.reason is ReasonCode.DAILY_QUOTA_SPENT)
    assert (finding.limit, finding.used, finding.facts["share"]) == (2, 2, "service:billing")
    # Another service has the door's share, for a caller with a share of its own does not use that.
    others = [await core.reply(f"Note {n}.", **{**SERVICE, "caller": "crm"}) for n in range(5)]
    assert sent(others) == 3
    agents = [await core.reply(f"Reply {n}.") for n in range(7)]
    assert sent(agents) == 5
    assert agents[-1].decision.findings
    assert await counts(core) == {"acc_1": 10, "acc_1/service:billing": 2, "acc_1/service": 3}


async def test_what_the_instance_refuses_comes_back_to_the_share_as_well(core: CoreParts) -> None:
    await core.inbound("Hello")
    await share_out(core, ("send_api", 10))
    core.senders.answer = lambda _: AttemptOutcome(Outcome.REJECTED, "evolution_refused", "Refused.")
    assert sent([await core.reply("One.", **SEND_API)]) == 1
    assert await counts(core) == {}
    core.senders.answer = core.senders.accept
    found = [await core.reply(f"Another {n}.", **SEND_API) for n in range(3)]
    assert sent(found) == 1
    assert await counts(core) == {"acc_1": 1, "acc_1/send_api": 1}


async def test_without_shares_nothing_is_counted_or_kept_beside_the_account(core: CoreParts) -> None:
    await core.inbound("Hello")
    assert sent([await core.reply("One."), await core.reply("Two.", **SERVICE)]) == 2
    assert await counts(core) == {"acc_1": 2}
    assert {row.reserved_share for row in await core.rows(messages)} == {None}
    assert "share" not in json.dumps([row.inputs_json for row in await core.rows(decisions)])


async def test_two_cores_racing_for_the_last_of_a_share_never_pass_it(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("support.core_parts._random", lambda: os.urandom)
    one = await open_core(postgres_url, datetime.now(UTC))
    two = CoreParts(one.database, one.clock)
    await two.config.start()
    try:
        await one.inbound("Hello")
        await share_out(one, ("threecx", 60), ("service", 30), daily=100)
        await two.config.refresh()
        work = [
            core.reply(f"Message {n}.", **more)
            for n in range(60)
            for core in (one, two)
            for more in ({}, SERVICE)
        ]
        found = await asyncio.gather(*work)
        by_source = {row.log_id: row.source for row in await one.rows(decisions)}
        allowed = [by_source[each.log_id] for each in found if each.decision.action is Action.SEND]
        assert (allowed.count("threecx"), allowed.count("service")) == (60, 30)
        assert await counts(one) == {"acc_1": 90, "acc_1/threecx": 60, "acc_1/service": 30}
        states = {MessageState(row.state) for row in await one.rows(messages) if row.outbound}
        assert states == {MessageState.ACCEPTED}
    finally:
        await two.dispatcher.drain(1.0)
        await two.config.stop()
        await one.close()
