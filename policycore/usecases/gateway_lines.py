"""Tells agents in the chat why a reply did not go out, and a phone system how far one has come."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from policycore.event_ledger import EventLedger, EventWrites, NewDelivery, NewLine
from policycore.gateway_lines import Why, line, why_failed, why_refused
from policycore.ids import RandomBytes, new_id
from policycore.ledger import MessageState, MessageView
from policycore.model import Action, Intent
from policycore.phone import normalize_phone
from policycore.registry.snapshot import IntegrationConfig, Snapshot, ThreecxSmsConfig
from policycore.usecases.bodies import STATUS_UPDATED, instant, status_body
from policycore.usecases.command import Decided

LINE = "gateway.line"
"""Name of the event that carries a line."""

_SHOWN_BY = ("threecx_sms", "sandbox_inbox")
"""Destinations with a chat to write a line into."""

_RECEIPTS = (MessageState.SENT, MessageState.DELIVERED, MessageState.FAILED, MessageState.REJECTED)
_NOT_ASKED_AGAIN = timedelta(seconds=30)
"""So long this process does not ask the database again for the same line; who asks in a flood costs it nothing."""
_MOST_REMEMBERED = 10_000

_log = structlog.get_logger(__name__)


class GatewayLines:
    """Writes lines for replies that were refused. `wake_outbox` is called after one was committed."""

    def __init__(
        self,
        ledger: EventLedger,
        clock: Callable[[], datetime],
        random_bytes: RandomBytes,
        wake_outbox: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._random = random_bytes
        self._wake_outbox = wake_outbox
        self._asked: OrderedDict[tuple[str, str, str, str], datetime] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def refused(self, intent: Intent, decided: Decided, snapshot: Snapshot) -> None:
        """Has a line written if the reply was refused and agents are told. Returns at once."""
        if decided.decision.action is not Action.BLOCK or decided.duplicate:
            return
        integration = snapshot.integrations.get(intent.integration_id or "")
        connector = _telling(integration)
        if integration is None or connector is None:
            return
        wanted = self._line(intent, why_refused(decided.decision), integration, connector)
        if wanted is not None and self._asks(wanted):
            task = asyncio.create_task(self._write(wanted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Returns when nothing is under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _line(
        self, intent: Intent, why: Why, integration: IntegrationConfig, connector: ThreecxSmsConfig
    ) -> NewLine | None:
        """None without two numbers in full: a phone system has no chat for anything else, and would take no line."""
        country = integration.country or None
        customer = normalize_phone(intent.phone_text, country)
        known = connector.numbers.get(intent.instance_ref)
        number = known or normalize_phone(intent.instance_ref.strip(), country)
        if customer is None or number is None:
            return None
        instance_id = intent.instance_ref if known else (integration.default_instance_id or "")
        made = _new_line(why, integration, instance_id, number, customer, None, self._clock(), self._random)
        # A number that is not ours may be taken by nobody; then only the line itself must wait for ever.
        return made if known else replace(made, ordered=False)

    def _asks(self, wanted: NewLine) -> bool:
        """Whether the database is to be asked: not if it was for the same line a moment ago."""
        key = (wanted.integration_id, wanted.business_number, wanted.customer, wanted.reason)
        now = self._clock()
        asked = self._asked.get(key)
        if asked is not None and asked <= now < asked + _NOT_ASKED_AGAIN:
            return False
        self._asked[key] = now
        self._asked.move_to_end(key)
        if len(self._asked) > _MOST_REMEMBERED:
            self._asked.popitem(last=False)
        return True

    async def _write(self, wanted: NewLine) -> None:
        writes = EventWrites(lines=[wanted])
        try:
            async with self._ledger.begin() as transaction:
                await transaction.write(writes)
        except Exception as error:  # noqa: BLE001 - whatever the ledger raises: the tick has failed already
            _log.warning("gateway_line.not_written", reason=wanted.reason, error=type(error).__name__)
            self._asked.pop(
                (wanted.integration_id, wanted.business_number, wanted.customer, wanted.reason), None
            )
            return
        if writes.deliveries:
            self._wake_outbox()


def tell_chat(
    view: MessageView, snapshot: Snapshot, writes: EventWrites, now: datetime, random_bytes: RandomBytes
) -> None:
    """Adds to a transaction's writes what the chat that a reply came from is told about it: that it failed, and, where
    receipts are on, how far it has come.
    """
    integration = snapshot.integrations.get(view.integration_id or "")
    if integration is None or integration.sms is None:
        return
    connector, number = integration.sms, integration.sms.numbers.get(view.instance_id)
    why = why_failed(view.state, view.error_code)
    if why is not None and number and view.phone and _telling(integration) is not None:
        writes.lines.append(
            _new_line(why, integration, view.instance_id, number, view.phone, view, now, random_bytes)
        )
    if connector.receipts and view.state in _RECEIPTS and integration.destination_kind == "threecx_sms":
        writes.deliveries.append(
            NewDelivery(
                delivery_id=new_id("dlv_", random_bytes),
                account_id=view.account_id,
                integration_id=integration.integration_id,
                webhook_id=None,
                instance_id=view.instance_id,
                person_id=view.person_id,
                event_name=STATUS_UPDATED,
                body=status_body(view, ""),
            )
        )


def _telling(integration: IntegrationConfig | None) -> ThreecxSmsConfig | None:
    """The connector, if its agents are told why a reply did not go out."""
    if integration is None or not integration.enabled or integration.destination_kind not in _SHOWN_BY:
        return None
    connector = integration.sms
    return connector if connector is not None and connector.gateway_lines else None


def _new_line(
    why: Why,
    integration: IntegrationConfig,
    instance_id: str,
    number: str,
    customer: str,
    about: MessageView | None,
    now: datetime,
    random_bytes: RandomBytes,
) -> NewLine:
    delivery_id = new_id("dlv_", random_bytes)
    body = {
        "event": LINE,
        "instance_id": instance_id,
        "from": customer,
        "to": number,
        "message_text": line(why, integration.language, about.text if about is not None else ""),
        "message_type": "text",
        "external_message_id": delivery_id,
        "received_at": instant(now),
        "reason": why.value,
        "message_id": about.message_id if about is not None else None,
    }
    return NewLine(
        delivery_id=delivery_id,
        account_id=integration.account_id,
        integration_id=integration.integration_id,
        instance_id=instance_id,
        business_number=number,
        customer=customer,
        reason=why.value,
        person_id=about.person_id if about is not None else None,
        log_id=about.log_id if about is not None else 0,
        event_name=LINE,
        body=body,
    )
