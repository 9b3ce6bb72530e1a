"""One call, reported to two replicas at once and to one that was killed meanwhile, is one message."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from hubgate.policy.v1 import integrations_pb2, policy_service_pb2
from peers.crm_template import CrmEngine
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import CoreClient
from support.replicas import Replicas

HEADER = "X-WhatsApp-Gateway-3CX-Secret"


async def test_a_call_is_one_message_whoever_hears_of_it_and_whoever_dies(
    tmp_path: Path, postgres_url: str
) -> None:
    replicas = Replicas(tmp_path, postgres_url)
    try:
        await replicas.start()
        async with AsyncExitStack() as stack:
            first, second = replicas.gateways
            core = await stack.enter_async_context(CoreClient(first.core_address, first.admin_token))
            doors = [
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=each.base_url, trust_env=False, timeout=15)
                )
                for each in (first, second)
            ]
            desk = await open_desk(first, core, doors[0], integration={"call_events_enabled": True})
            await _without_cool_down(core, desk)
            engines = [await _engine(desk, door) for door in doors]
            phone = fresh_phone()
            await desk.customer_writes(phone)
            start = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)

            answers = await asyncio.gather(
                *(engines[n % 2].report_call(**_missed(phone, start, n)) for n in range(8))
            )
            bodies = [each.json() for each in answers if each is not None]
            assert len({body["message_id"] for body in bodies}) == 1
            assert sorted(body.get("duplicate", False) for body in bodies) == [False] + [True] * 7

            later = start + timedelta(minutes=10)
            before = await engines[0].report_call(**_missed(phone, later, 1))
            first.processes["policycore"].kill()
            after = await engines[1].report_call(**_missed(phone, later + timedelta(seconds=90), 2))
            assert before is not None and after is not None
            assert after.json()["duplicate"] is True
            assert after.json()["message_id"] == before.json()["message_id"]
            first.processes["policycore"].wait(10)
            first.start_part("policycore")
            await first.wait_ready()
            again = await engines[0].report_call(**_missed(phone, later, 3))
            assert again is not None and again.json()["message_id"] == before.json()["message_id"]

            shown = [each for each in await desk.phone_shows(phone) if each["direction"] == "outbound"]
            assert len(shown) == 2
    finally:
        replicas.stop()


def _missed(phone: str, start: datetime, number: int) -> dict[str, Any]:
    """What the phone of one agent of a ring group says of a call."""
    began = start + timedelta(seconds=number)
    return {"CallType": "Missed", "Number": phone, "Agent": f"10{number}", "CallStartTimeUTC": began}


async def _without_cool_down(core: CoreClient, desk: Desk) -> None:
    """A cool-down would hide a second message."""
    integration = integrations_pb2.Integration(integration_id=desk.integration.integration_id)
    integration.cool_down.seconds = 0
    request = integrations_pb2.UpdateIntegrationRequest(integration=integration, fields=["cool_down"])
    await core.call(core.admin.UpdateIntegration, request)
    template = integrations_pb2.Template(
        integration_id=desk.integration.integration_id,
        event_type=policy_service_pb2.EVENT_TYPE_MISSED_CALL,
        enabled=True,
        language="en",
        text="Sorry, we missed your call.",
        purpose="support",
    )
    await core.call(core.admin.UpdateTemplate, integrations_pb2.UpdateTemplateRequest(template=template))


async def _engine(desk: Desk, door: httpx.AsyncClient) -> CrmEngine:
    path = f"/integrations/3cx/{desk.integration.integration_id}/crm-template.xml"
    for _ in range(100):
        answer = await door.get(path, headers={HEADER: desk.secret})
        # A new integration is known everywhere within a second.
        if answer.status_code != 401:
            break
        await asyncio.sleep(0.05)
    return CrmEngine.uploaded(answer.content, door, Secret=desk.secret)
