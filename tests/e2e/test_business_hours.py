"""Business hours through the whole product: who writes while it is closed is told once, and nobody while it is open."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubgate.policy.v1 import business_hours_pb2, integrations_pb2, policy_service_pb2
from policycore.business_hours import DAYS, read_calendar
from support.desk import Desk, fresh_phone, open_desk
from support.gateway import CoreClient, Gateway

TEXT = "نحن الآن خارج أوقات الدوام، وسنرد عليك."
CLOSED: dict[str, Any] = {"time_zone": "Asia/Riyadh", "week": {}}
OPEN: dict[str, Any] = {"time_zone": "Asia/Riyadh", "week": {day: [["00:00", "24:00"]] for day in DAYS}}
_PAGES = [
    Path(__file__).parents[2] / "docs/3cx" / name for name in ("business-hours.md", "business-hours.ar.md")
]


async def _keep(desk: Desk, calendar: dict[str, Any]) -> Any:
    """Switches the template on and sets the hours."""
    await desk.update(["call_events_enabled"], call_events_enabled=True)
    template = integrations_pb2.Template(
        integration_id=desk.integration.integration_id,
        event_type=policy_service_pb2.EVENT_TYPE_AFTER_HOURS,
        enabled=True,
        language="ar",
        text=TEXT,
        purpose="support",
    )
    await desk.core.call(
        desk.core.admin.UpdateTemplate, integrations_pb2.UpdateTemplateRequest(template=template)
    )
    request = business_hours_pb2.UpdateBusinessHoursRequest(
        integration_id=desk.integration.integration_id, calendar_json=json.dumps(calendar)
    )
    return (await desk.core.call(desk.core.admin.UpdateBusinessHours, request)).hours


async def _answers(desk: Desk, phone: str) -> list[str]:
    """What a customer's phone shows of the business's."""
    return [each["text"] for each in await desk.phone_shows(phone) if each["direction"] == "outbound"]


async def _writes_and_is_answered(desk: Desk) -> None:
    """Somebody new writes to a closed business. Returns once they were answered: chats before theirs were looked at."""
    phone = fresh_phone()
    await desk.customer_writes(phone)
    for _ in range(600):
        if await _answers(desk, phone):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nobody answered:\n" + desk.gateway.log("policycore"))


async def test_who_writes_twice_to_a_closed_business_is_answered_once(desk: Desk) -> None:
    phone = fresh_phone()
    assert not (await _keep(desk, CLOSED)).is_open
    await desk.customer_writes(phone, "Are you open?")
    await desk.customer_writes(phone, "Hello?")
    await _writes_and_is_answered(desk)
    assert await _answers(desk, phone) == [TEXT]
    await desk.customer_writes(phone, "Anybody?")
    await _writes_and_is_answered(desk)
    assert await _answers(desk, phone) == [TEXT]


async def test_nobody_is_answered_by_an_open_business(
    running_gateway: Gateway, core: CoreClient, http: httpx.AsyncClient
) -> None:
    opened, closed = [await open_desk(running_gateway, core, http) for _ in range(2)]
    assert (await _keep(opened, OPEN)).is_open
    await _keep(closed, CLOSED)
    phone = fresh_phone()
    await opened.customer_writes(phone)
    # The second answer is of a later round than the first: in between, every calendar was looked at.
    for _ in range(2):
        await _writes_and_is_answered(closed)
    assert await _answers(opened, phone) == []


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_what_the_page_shows_can_be_read(page: Path) -> None:
    shown = [part.split("```")[0] for part in page.read_text("utf-8").split("```json\n")[1:]]
    assert shown
    for each in shown:
        read_calendar(each)
    assert shown == [part.split("```")[0] for part in _PAGES[0].read_text("utf-8").split("```json\n")[1:]]
