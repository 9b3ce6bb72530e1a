"""The CRM template from end to end: fetched, uploaded to a stand-in PBX, and used by it through the whole product."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import integrations_pb2, policy_service_pb2, records_pb2
from peers.crm_template import ARABIC, BRITISH, ENGLISH, SAUDI, CrmEngine, Culture
from peers.evolution import EvolutionPeer
from support.back_ends import on_evolution, open_evolution
from support.desk import fresh_phone
from support.gateway import CoreClient, Gateway

SORRY = "Sorry, we missed your call of {{call_time}}."
HEADER = "X-WhatsApp-Gateway-3CX-Secret"


@dataclass
class Office:
    """A business with a stand-in PBX that was given the template, and a stand-in of its WhatsApp number."""

    core: CoreClient
    http: httpx.AsyncClient
    peer: EvolutionPeer
    engine: CrmEngine
    account_id: str
    instance_id: str
    integration_id: str
    secret: str
    hook: str

    async def customer_writes(self, phone: str, name: str = "Sara") -> None:
        """The person writes, and so opens a window."""
        assert await self.peer.post_message(self.hook, phone, "Hello", push_name=name) == 200

    def sent_to(self, phone: str) -> list[str]:
        """Texts that WhatsApp took for this person."""
        digits = phone.removeprefix("+")
        return [each.text for each in self.peer.accepted if "".join(filter(str.isdigit, each.to)) == digits]

    async def decisions(self) -> list[Any]:
        """The policy log of this account, newest first."""
        request = records_pb2.ListDecisionsRequest(account_id=self.account_id, page_size=100)
        return list((await self.core.call(self.core.admin.ListDecisions, request)).records)

    async def turn_on(self, event_type: int, text: str) -> None:
        """Has a call event send this text."""
        template = integrations_pb2.Template(
            integration_id=self.integration_id,
            event_type=policy_service_pb2.EventType.ValueType(event_type),
            enabled=True,
            language="en",
            text=text,
            purpose="support",
        )
        request = integrations_pb2.UpdateTemplateRequest(template=template)
        await self.core.call(self.core.admin.UpdateTemplate, request)

    def now(self) -> datetime:
        """A moment ago, as a PBX knows it."""
        return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=20)


@asynccontextmanager
async def office_on(gateway: Gateway, **fields: Any) -> AsyncIterator[Office]:
    """An office of a test's own."""
    peer = await open_evolution()
    try:
        async with (
            CoreClient(gateway.core_address, gateway.admin_token) as core,
            httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=15) as http,
        ):
            account = await core.account()
            instance = await core.instance(
                account.account_id,
                "evolution",
                **on_evolution(peer),
            )
            integration, secret, _ = await core.integration(
                account.account_id, [instance.instance_id], call_events_enabled=True, **fields
            )
            await core.probe(instance.instance_id)
            xml = await _fetched(http, integration.integration_id, secret)
            engine = CrmEngine.uploaded(xml, http, Secret=secret, ReportChats="True")
            hook = f"{gateway.base_url}/webhooks/whatsapp/evolution/{instance.instance_id}"
            yield Office(
                core,
                http,
                peer,
                engine,
                account.account_id,
                instance.instance_id,
                integration.integration_id,
                secret,
                hook,
            )
    finally:
        await peer.stop()


async def _fetched(http: httpx.AsyncClient, integration_id: str, secret: str) -> bytes:
    for _ in range(100):
        answer = await http.get(
            f"/integrations/3cx/{integration_id}/crm-template.xml", headers={HEADER: secret}
        )
        # A new integration is known everywhere within a second.
        if answer.status_code != 401:
            break
        await asyncio.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return answer.content


def _missed(phone: str, start: datetime, agent: str = "101") -> dict[str, Any]:
    call = {"CallType": "Missed", "Number": phone, "Agent": agent, "QueueExtension": "800"}
    return {**call, "CallStartTimeUTC": start}


async def test_a_missed_call_becomes_one_message_inside_the_window(gateway: Gateway) -> None:
    async with office_on(gateway) as office:
        phone, start = fresh_phone(), office.now()
        await office.turn_on(policy_service_pb2.EVENT_TYPE_MISSED_CALL, SORRY)

        refused = await office.engine.report_call(**_missed(phone, start - timedelta(minutes=10)))
        assert refused is not None and refused.status_code == 409, refused
        assert refused.json()["error"] == "conversation_window_closed"

        await office.customer_writes(phone)
        first = await office.engine.report_call(**_missed(phone, start))
        assert first is not None and first.status_code == 200, first
        assert first.json()["status"] == "sent" and first.json()["event_type"] == "missed_call"

        # A ring group: the same call, as another agent's phone saw it, and the first report once more.
        again = await office.engine.report_call(**_missed(phone, start + timedelta(seconds=3), agent="102"))
        same = await office.engine.report_call(**_missed(phone, start))
        for repeat in (again, same):
            assert repeat is not None and repeat.json()["duplicate"] is True
            assert repeat.json()["message_id"] == first.json()["message_id"]

        local = (start + timedelta(hours=3)).strftime("%Y-%m-%d %H:%M")
        assert office.sent_to(phone) == [f"Sorry, we missed your call of {local}."]


async def test_an_ended_chat_sends_nothing_and_its_text_is_kept_nowhere(gateway: Gateway) -> None:
    async with office_on(gateway) as office:
        phone = fresh_phone()
        await office.customer_writes(phone)
        chat: dict[str, Any] = {
            "Number": phone,
            "Agent": "101",
            "QueueExtension": "800",
            "ChatStartTimeUTC": office.now(),
        }
        answer = await office.engine.report_chat(**chat, ChatMessages="zebra-crossing")
        assert answer is not None and answer.status_code == 200, answer
        assert answer.json()["status"] == "accepted" and answer.json()["event_type"] == "chat_ended"

        # A template of somebody else's making sends the text all the same.
        body = {"source": "3cx_crm_chat", "customer_phone": phone, "transcript": "zebra-crossing"}
        other = await office.http.post(
            f"/integrations/3cx/webhook/{office.integration_id}", json=body, headers={HEADER: office.secret}
        )
        assert other.json()["event_type"] == "chat_ended"
        assert office.sent_to(phone) == []
        rows = await office.decisions()
        assert [row.event_type for row in rows] == [policy_service_pb2.EVENT_TYPE_CHAT_ENDED] * 2
        assert "zebra-crossing" not in "".join(str(row) for row in rows)
        for name in gateway.processes:
            assert "zebra-crossing" not in gateway.log(name)


async def test_a_call_that_the_customer_did_not_answer_is_recorded_and_sends_nothing(
    gateway: Gateway,
) -> None:
    async with office_on(gateway) as office:
        phone = fresh_phone()
        await office.customer_writes(phone)
        await office.turn_on(policy_service_pb2.EVENT_TYPE_CALL_ENDED, "Thank you for your call.")
        call: dict[str, Any] = {"Number": phone, "Agent": "101", "CallStartTimeUTC": office.now()}
        unanswered = await office.engine.report_call(**call, CallType="Notanswered")
        assert unanswered is not None and unanswered.json()["status"] == "accepted", unanswered
        assert unanswered.json()["event_type"] == "call_ended"
        assert office.sent_to(phone) == []
        answered = await office.engine.report_call(**call, CallType="Inbound")
        assert answered is not None and answered.json()["status"] == "sent", answered
        assert office.sent_to(phone) == ["Thank you for your call."]


async def test_agents_see_who_calls(gateway: Gateway) -> None:
    async with office_on(gateway) as office:
        phone = fresh_phone()
        assert await office.engine.look_up(phone) is None
        await office.customer_writes(phone, name="سارة ع.")
        national = "0" + phone.removeprefix("+966")
        for written in (phone, national, "00" + phone.removeprefix("+"), phone.replace("+", " ")):
            shown = await office.engine.look_up(written)
            assert shown is not None, written
            assert shown["FirstName"] == "سارة ع." and shown["PhoneMobile"] == written
            assert shown["ContactUrl"] == f"https://wa.me/{phone[1:]}"
        assert await office.engine.look_up(fresh_phone()) is None
        assert await office.engine.look_up("anonymous") is None


async def test_persons_of_other_instances_and_accounts_are_not_shown(running_gateway: Gateway) -> None:
    async with office_on(running_gateway) as office, office_on(running_gateway) as neighbour:
        phone = fresh_phone()
        await office.customer_writes(phone)
        assert await office.engine.look_up(phone) is not None
        assert await neighbour.engine.look_up(phone) is None
        second = await office.core.instance(office.account_id, "sandbox", name="second")
        integration, secret, _ = await office.core.integration(office.account_id, [second.instance_id])
        xml = await _fetched(office.http, integration.integration_id, secret)
        elsewhere = CrmEngine.uploaded(xml, office.http, Secret=secret)
        assert await elsewhere.look_up(phone) is None


@pytest.mark.parametrize(
    "culture", [ENGLISH, BRITISH, ARABIC, SAUDI], ids=["english", "british", "arabic", "saudi"]
)
@pytest.mark.parametrize("can_format", [True, False], ids=["formatted", "raw"])
async def test_every_culture_reports_each_call_once(
    running_gateway: Gateway, culture: Culture, can_format: bool
) -> None:
    async with office_on(running_gateway) as office:
        phone, start = fresh_phone(), office.now()
        office.engine.culture, office.engine.can_format = culture, can_format
        await office.turn_on(policy_service_pb2.EVENT_TYPE_MISSED_CALL, SORRY)
        await office.customer_writes(phone)
        reports = [
            await office.engine.report_call(**_missed(phone, start, agent)) for agent in ("101", "102")
        ]
        assert [each.json().get("duplicate", False) for each in reports if each is not None] == [False, True]
        assert len(office.sent_to(phone)) == 1


async def test_reports_and_messages_have_limits_of_their_own(running_gateway: Gateway) -> None:
    # Counted in memory: a Redis that is slow for a moment would cost a burst, as it may.
    async with office_on(running_gateway, requests_per_minute=3, crm_requests_per_minute=4) as office:
        phone = fresh_phone()
        call: dict[str, Any] = {"Number": phone, "CallType": "Inbound", "Agent": "101"}
        starts = [office.now() - timedelta(minutes=minutes) for minutes in range(6)]
        reports = [await office.engine.report_call(**call, CallStartTimeUTC=start) for start in starts]
        codes = [each.status_code for each in reports if each is not None]
        assert codes == [200, 200, 200, 200, 429, 429]
        assert reports[-1] is not None and "retry-after" in reports[-1].headers

        url = f"/integrations/3cx/webhook/{office.integration_id}"
        tests = [
            await office.http.post(url, json={"event_type": "test"}, headers={HEADER: office.secret})
            for _ in range(4)
        ]
        assert [each.status_code for each in tests] == [200, 200, 200, 429]

        look = f"/integrations/3cx/crm/{office.integration_id}/lookup"
        looks = [
            await office.http.post(look, json={"number": phone}, headers={HEADER: office.secret})
            for _ in range(5)
        ]
        assert [each.status_code for each in looks] == [200, 200, 200, 200, 429]


async def test_what_was_switched_off_is_not_even_posted(running_gateway: Gateway) -> None:
    async with office_on(running_gateway) as office:
        office.engine.parameters |= {"ReportCalls": "False", "ReportChats": "False"}
        assert await office.engine.report_call(**_missed(fresh_phone(), office.now())) is None
        assert await office.engine.report_chat(Number=fresh_phone()) is None


async def test_the_template_is_for_those_who_know_the_integration(running_gateway: Gateway) -> None:
    async with office_on(running_gateway) as office:
        path = f"/integrations/3cx/{office.integration_id}/crm-template.xml"
        unknown = "/integrations/3cx/int_of_nobody/crm-template.xml"
        admin = {"authorization": f"Bearer {running_gateway.admin_token}"}
        strangers = [
            await office.http.get(path),
            await office.http.get(unknown),
            await office.http.get(path, headers={HEADER: "wrong"}),
            await office.http.get(unknown, headers={HEADER: office.secret}),
            await office.http.get(path, headers={"authorization": "Bearer wrong"}),
            await office.http.get(path, headers={"authorization": f"Bearer {running_gateway.edge_token}"}),
            await office.http.get(unknown, headers=admin),
        ]
        assert {(each.status_code, each.content) for each in strangers} == {(401, strangers[0].content)}
        assert [each.headers.get("content-type") for each in strangers] == ["application/json"] * 7

        arabic = await office.http.get(path, params={"language": "ar"}, headers=admin)
        assert arabic.status_code == 200, arabic.text
        assert office.secret.encode() not in arabic.content
        engine = CrmEngine.uploaded(arabic.content, office.http)
        assert engine.parameters["GatewayUrl"] == running_gateway.base_url
        assert engine.parameters["IntegrationId"] == office.integration_id
        assert (await office.http.get(path, params={"language": "xx"}, headers=admin)).status_code == 400
