"""A day of a support desk: a stand-in PBX on one side, each WhatsApp back end on the other, the whole product between.

At its end the two sides are compared, message by message and in order.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import integrations_pb2, policy_service_pb2, reasons_pb2, records_pb2
from peers.crm_template import CrmEngine
from peers.pbx import Entry, PbxPeer
from support.desk import fresh_phone
from support.gateway import CoreClient, Gateway
from support.sms_desk import SmsDesk, open_sms_desk

SORRY = "Sorry, we missed your call."
BACK_ENDS = ("sandbox", "evolution", "waha", "cloud_api")


@dataclass
class Day:
    """The desk, and what its people did: what customers wrote that agents should see, what should have reached them."""

    desk: SmsDesk
    crm: CrmEngine
    wrote: dict[str, list[str]] = field(default_factory=dict)
    gets: dict[str, list[str]] = field(default_factory=dict)

    async def writes(self, phone: str, text: str, *, shown: bool = True) -> None:
        """A customer writes on WhatsApp."""
        await self.desk.customer_writes(phone, text)
        if shown:
            self.wrote.setdefault(phone, []).append(text)

    async def answers(self, phone: str, text: str, error: str = "") -> None:
        """An agent answers in 3CX; the tick says whether it was taken."""
        typed = await self.desk.pbx.type(self.desk.number, phone, text)
        if error:
            assert (typed.ticked, typed.error) == (False, error)
            return
        assert typed.ticked, typed.body
        self.gets.setdefault(phone, []).append(text)

    async def misses_call(self, phone: str) -> None:
        """A customer calls, and nobody takes the call."""
        start = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=20)
        call = {"CallType": "Missed", "Number": phone, "Agent": "101", "QueueExtension": "800"}
        answer = await self.crm.report_call(**call, CallStartTimeUTC=start)
        assert answer is not None and answer.json()["status"] == "sent", answer
        self.gets.setdefault(phone, []).append(SORRY)

    def chat(self, phone: str, *who: str) -> list[Entry]:
        """What agents see of a customer's chat, from these."""
        return [each for each in self.desk.pbx.chat(self.desk.number, phone) if each.who in who]

    async def shown(self) -> None:
        """Everything that customers wrote has arrived in 3CX."""
        for phone, texts in self.wrote.items():
            came = len(texts) + len(self.chat(phone, "gateway"))
            await self.desk.pbx.wait_chat(self.desk.number, phone, came, seconds=60)

    async def restarts(self) -> None:
        """The PBX is down while customers go on writing, and comes back with its settings and its chats."""
        old = self.desk.pbx
        port = int(old.base_url.rpartition(":")[2])
        await old.stop()
        for phone in self.wrote:
            await self.writes(phone, "Are you still there?")
            await self.writes(phone, "هل ما زلتم هنا؟")
        await asyncio.sleep(0.5)
        new = PbxPeer(old.numbers)
        new.key, new.api_key, new.provider_url, new.chats = old.key, old.api_key, old.provider_url, old.chats
        new.receipts = old.receipts
        self.desk.pbx = await new._listen(port)

    def closes_window(self, phone: str) -> None:
        """A day passes since a customer wrote last."""
        with sqlite3.connect(self.desk.gateway.folder / "hubgate.db", timeout=30) as database:
            statement = (
                "UPDATE windows SET last_inbound_at = last_inbound_at - 86400000000 WHERE person_id ="
                " (SELECT person_id FROM identities WHERE account_id = ? AND kind = 'phone' AND value = ?)"
            )
            assert database.execute(statement, (self.desk.account.account_id, phone)).rowcount == 1

    async def decisions(self) -> list[Any]:
        """The policy log, the oldest first."""
        request = records_pb2.ListDecisionsRequest(account_id=self.desk.account.account_id, page_size=100)
        answer = await self.desk.core.call(self.desk.core.admin.ListDecisions, request)
        return list(reversed(answer.records))


@asynccontextmanager
async def begun(gateway: Gateway, backend: str) -> AsyncIterator[Day]:
    """The desk opens: the connector is set up, the CRM template uploaded, a message for missed calls switched on."""
    async with (
        CoreClient(gateway.core_address, gateway.admin_token) as core,
        httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=30) as http,
    ):
        desk = await open_sms_desk(gateway, core, http, backend=backend, call_events_enabled=True)
        try:
            template = integrations_pb2.Template(
                integration_id=desk.integration.integration_id,
                event_type=policy_service_pb2.EVENT_TYPE_MISSED_CALL,
                enabled=True,
                language="en",
                text=SORRY,
                purpose="support",
            )
            await core.call(
                core.admin.UpdateTemplate, integrations_pb2.UpdateTemplateRequest(template=template)
            )
            path = f"/integrations/3cx/{desk.integration.integration_id}/crm-template.xml"
            fetched = await http.get(path, headers={"X-WhatsApp-Gateway-3CX-Secret": desk.secret})
            assert fetched.status_code == 200, fetched.text
            yield Day(desk, CrmEngine.uploaded(fetched.content, http, Secret=desk.secret))
        finally:
            await desk.close()


@pytest.mark.parametrize("backend", BACK_ENDS)
async def test_the_logs_of_both_sides_match_at_the_end_of_the_day(
    running_gateway: Gateway, backend: str
) -> None:
    async with begun(running_gateway, backend) as day:
        sara, omar, lina = fresh_phone(), fresh_phone(), fresh_phone()
        # The morning: two customers write, agents answer.
        await day.writes(sara, "Good morning, where is order 4711? 📦")
        await day.writes(omar, "السلام عليكم، أريد نسخة من الفاتورة")
        await day.shown()
        await day.answers(sara, "Good morning Sara, it leaves today.")
        await day.answers(omar, "وعليكم السلام، أرسلناها إلى بريدك.")
        await day.writes(sara, "Thank you!")
        await day.answers(sara, "You are welcome.")
        # Nobody may be written to who has not written first.
        await day.answers(lina, "Hello, your repair is done.", error="conversation_window_closed")
        # Calls are missed.
        await day.misses_call(sara)
        # A customer opts out in the middle; the confirmation is the last word.
        await day.writes(omar, "STOP", shown=False)
        await day.answers(omar, "One more question about the invoice", error="recipient_suppressed")
        # The phone system restarts while customers go on writing.
        day.wrote.setdefault(lina, [])
        await day.restarts()
        await day.shown()
        await day.answers(lina, "Yes, your repair is done.")
        # A window closes, and the customer opens it again.
        day.closes_window(lina)
        await day.answers(lina, "When will you fetch it?", error="conversation_window_closed")
        await day.writes(lina, "I come tomorrow.")
        await day.shown()
        await day.answers(lina, "Good, see you then.")

        for phone in (sara, omar, lina):
            assert [each.text for each in day.chat(phone, "customer")] == day.wrote[phone]
        got = {phone: await day.desk.customer_got(phone) for phone in (sara, omar, lina)}
        [confirmation] = [text for text in got[omar] if text not in day.gets[omar]]
        assert got[omar][-1] == confirmation, "nothing after the confirmation of an opt-out"
        assert {**got, omar: got[omar][:-1]} == day.gets
        # Agents see a failed tick and the reason for it, once.
        ticks = {
            phone: [(each.text, each.ticked) for each in day.chat(phone, "agent")] for phone in (omar, lina)
        }
        assert [ticked for _, ticked in ticks[omar]] == [True, False]
        assert [ticked for _, ticked in ticks[lina]] == [False, True, False, True]
        assert [len(day.chat(phone, "gateway")) for phone in (sara, omar, lina)] == [0, 1, 1]
        # The policy log tells the same day.
        log = await day.decisions()
        allowed = [each for each in log if each.decision.verdict == reasons_pb2.VERDICT_ALLOW]
        assert len(allowed) == sum(map(len, got.values()))
        assert len(log) - len(allowed) == 3
