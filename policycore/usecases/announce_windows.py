"""Tells agents, once, that a conversation window ends while they owe an answer."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

from policycore.agent_text import window_text
from policycore.event_ledger import NewDelivery
from policycore.ids import RandomBytes, new_id
from policycore.registry.snapshot import AccountConfig, IntegrationConfig, Snapshot
from policycore.usecases.bodies import WINDOW_CLOSING, instant
from policycore.window_ends import Ending, Span

_OVERLAP = timedelta(minutes=2)
"""Looked at again: what was committed late must not slip through."""

_FULL_EVERY = timedelta(minutes=5)
"""So often the whole span is looked at: messages that a back end held back for hours have earlier times."""


class WindowNotices(Protocol):
    """Windows whose person waits for an answer, and of which of them agents were told. The store implements it."""

    async def now(self) -> datetime:
        """The database's time."""

    async def announce(
        self, span: Span, deliver: Callable[[Ending, Snapshot, datetime], NewDelivery | None]
    ) -> tuple[int, bool]:
        """Writes, in one transaction, what `deliver` makes of windows of the span of which nobody was told, and that
        they were. Returns how many, and whether there may be more.
        """


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a process has looked, for an integration as it was then configured."""

    notice_seconds: int
    window: timedelta
    instance_ids: tuple[str, ...]
    until: datetime
    looked_at_all: datetime


@dataclass(slots=True)
class WindowAnnouncer:
    """One process's looks. `wake` is called after deliveries were written. What it has looked at it leaves alone for a
    while: whoever does not owe an answer when the time comes owes one later only for a later message.
    """

    notices: WindowNotices
    snapshot: Callable[[], Snapshot]
    random_bytes: RandomBytes
    wake: Callable[[], None]
    reached: dict[str, _Reach] = field(default_factory=dict)

    async def look(self) -> int:
        """Announces every window that is due; returns how many."""
        now = await self.notices.now()
        snapshot = self.snapshot()
        told = 0
        for integration in snapshot.integrations.values():
            account = snapshot.accounts.get(integration.account_id)
            if account is not None and _is_told(integration, account):
                told += await self._look_at(integration, account, now)
        self.reached = {each: reach for each, reach in self.reached.items() if each in snapshot.integrations}
        return told

    async def _look_at(self, integration: IntegrationConfig, account: AccountConfig, now: datetime) -> int:
        rules, notice = account.rules, timedelta(seconds=integration.window_notice_seconds)
        # Not those that end within the margin: nothing can be sent in them any more.
        oldest, newest = now - rules.window + rules.window_margin, now - rules.window + notice
        reached = self.reached.get(integration.integration_id)
        mine = _Reach(integration.window_notice_seconds, rules.window, integration.instance_ids, newest, now)
        if reached is not None and _same(reached, mine) and now - reached.looked_at_all < _FULL_EVERY:
            oldest = max(oldest, reached.until - _OVERLAP)
            mine = replace(mine, looked_at_all=reached.looked_at_all)
        span = Span(integration.integration_id, integration.instance_ids, oldest, newest)
        deliver = partial(ending_delivery, integration.integration_id, self.random_bytes)
        told, more = 0, True
        while more:
            made, more = await self.notices.announce(span, deliver)
            told += made
            if made:
                self.wake()
        self.reached[integration.integration_id] = mine
        return told


def _is_told(integration: IntegrationConfig, account: AccountConfig) -> bool:
    return (
        account.module_enabled
        and integration.enabled
        and integration.inbound_enabled
        and integration.destination_kind != "none"
        and 0 < integration.window_notice_seconds < account.rules.window.total_seconds()
        and bool(integration.instance_ids)
    )


def _same(reached: _Reach, mine: _Reach) -> bool:
    return (reached.notice_seconds, reached.window, reached.instance_ids) == (
        mine.notice_seconds,
        mine.window,
        mine.instance_ids,
    )


def ending_delivery(
    integration_id: str, random_bytes: RandomBytes, ending: Ending, snapshot: Snapshot, now: datetime
) -> NewDelivery | None:
    """The delivery that tells agents of an ending window; None if the integration or the instance is gone."""
    integration = snapshot.integrations.get(integration_id)
    instance = snapshot.instances.get(ending.instance_id)
    if integration is None or instance is None:
        return None
    account = snapshot.accounts[instance.account_id]
    ends_at = ending.last_inbound_at + account.rules.window
    minutes = max(1, math.ceil((ends_at - now).total_seconds() / 60))
    line = window_text(ending.name, ends_at.astimezone(account.zone), minutes, integration.language)
    body: dict[str, Any] = {
        "event": WINDOW_CLOSING,
        "instance_id": instance.instance_id,
        "instance_name": instance.name,
        "customer_phone": ending.person.phone or ending.pseudonym,
        "customer_hidden": not ending.person.phone,
        "conversation_id": ending.conversation_id,
        "person_id": ending.person_id,
        "contact_name": ending.name,
        "last_inbound_at": instant(ending.last_inbound_at),
        "window_expires_at": instant(ends_at),
        "agent_text": line,
    }
    return NewDelivery(
        delivery_id=new_id("dlv_", random_bytes),
        account_id=instance.account_id,
        integration_id=integration_id,
        webhook_id=None,
        instance_id=instance.instance_id,
        person_id=ending.person_id,
        event_name=WINDOW_CLOSING,
        body=body,
    )
