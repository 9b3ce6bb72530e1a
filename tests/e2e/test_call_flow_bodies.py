"""The how-to of the Call Flow Designer: every body in it is posted, and gives what the page says."""

import json
import re
from pathlib import Path

import pytest

from hubgate.policy.v1 import integrations_pb2, policy_service_pb2
from support.desk import Desk, fresh_phone

_FOLDER = Path(__file__).parents[2] / "docs/3cx"
_BODY = re.compile(r"```json\n(\{.*?\})\n```(.*?)(?=```json|\n## |\Z)", re.DOTALL)
_ANSWER = re.compile(r"`(\d{3})`[^`]*`\"status\": \"(\w+)\"`")


def documented(name: str) -> list[tuple[str, list[tuple[int, str]]]]:
    """Each body with its answers: with the template on, and off."""
    text = (_FOLDER / name).read_text("utf-8")
    return [
        (found.group(1), [(int(status), word) for status, word in _ANSWER.findall(found.group(2))])
        for found in _BODY.finditer(text)
    ]


CASES = documented("call-flow-designer.md")


def test_both_languages_say_the_same() -> None:
    assert documented("call-flow-designer.ar.md") == CASES
    events = [json.loads(body)["event_type"] for body, _ in CASES]
    assert events == ["after_hours", "queue_callback", "voicemail"]


def test_the_expression_gives_the_body() -> None:
    """What `CONCATENATE` puts together is JSON: texts are unescaped as the designer's expressions are C#."""
    for name in ("call-flow-designer.md", "call-flow-designer.ar.md"):
        text = (_FOLDER / name).read_text("utf-8")
        (expression,) = re.findall(r"^CONCATENATE\((.*)\)$", text, re.MULTILINE)
        parts = re.findall(r'"((?:[^"\\]|\\.)*)"|(session\.ani)', expression)
        made = "".join(
            "+966500000001" if variable else fixed.replace('\\"', '"') for fixed, variable in parts
        )
        body = json.loads(made)
        first = json.loads(CASES[0][0])
        assert body == {key: first[key] for key in ("event_type", "customer_phone", "queue")}


@pytest.mark.parametrize(("body", "answers"), CASES, ids=lambda value: "")
async def test_a_documented_body_gives_the_documented_answer(
    desk: Desk, body: str, answers: list[tuple[int, str]]
) -> None:
    (on, off) = answers
    phone = fresh_phone()
    raw = body.replace("+966500000001", phone).encode()
    await desk.update(["call_events_enabled"], call_events_enabled=True)
    await desk.customer_writes(phone)
    answer = await desk.post(raw)
    assert (answer.status_code, answer.json()["status"]) == off
    assert not [each for each in await desk.phone_shows(phone) if each["direction"] == "outbound"]

    event_type = f"EVENT_TYPE_{json.loads(body)['event_type'].upper()}"
    template = integrations_pb2.Template(
        integration_id=desk.integration.integration_id,
        event_type=policy_service_pb2.EventType.Value(event_type),
        enabled=True,
        language="ar",
        text="اكتب لنا هنا",
        purpose="support",
    )
    request = integrations_pb2.UpdateTemplateRequest(template=template)
    await desk.core.call(desk.core.admin.UpdateTemplate, request)
    answer = await desk.post(raw)
    assert (answer.status_code, answer.json()["status"]) == on, answer.text
    shown = [each["text"] for each in await desk.phone_shows(phone) if each["direction"] == "outbound"]
    assert shown == ["اكتب لنا هنا"]
