"""The SMS provider's door when the policy core's answer is late or lost: asked again, decided once."""

import json
from collections.abc import Callable
from hashlib import sha256
from itertools import count
from typing import Any

import pytest

from edge.answers import HttpAnswer
from edge.credentials import CredentialCache
from edge.errors import CoreTimeoutError, CoreUnavailableError
from edge.gate import Gate
from edge.http import HttpRequest
from edge.metrics import EdgeMetrics
from edge.model import (
    Admission,
    CredentialSnapshot,
    Decision,
    IntegrationKey,
    MessageFate,
    Outcome,
    Secret,
    SignatureClaim,
    Submission,
)
from edge.refusals import RefusalLog
from edge.webhooks import sms_routes
from edge.webhooks.sms_routes import SmsProvider
from edge.words import Action, MessageState, ReasonCode, Verdict

KEY = "sms_key"


class Core:
    """Answers each submission with the next of `answers`, or raises it; the last one counts on."""

    def __init__(self, *answers: Outcome | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[Submission] = []

    async def submit(self, submission: Submission, timeout_seconds: float) -> Outcome:
        self.asked.append(submission)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def admit(
        self, integration_id: str, signature: SignatureClaim | None, *, sms_provider: bool = False
    ) -> Admission:
        return Admission(ReasonCode.ALLOWED)


def sent() -> Outcome:
    decision = Decision("dec_1", 7, Verdict.ALLOW, ReasonCode.ALLOWED, Action.SEND)
    return Outcome(decision, MessageFate("msg_1", MessageState.HANDED_OUT))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sms_routes, "PAUSE_SECONDS", 0.0)


async def post(core: Core, monotonic: Callable[[], float] = lambda: 0.0) -> HttpAnswer:
    secret = Secret("smk_1", b"", sha256(KEY.encode()).digest())
    cache = CredentialCache()
    integration = IntegrationKey("int_1", "acc_1", enabled=True, secrets=(secret,))
    cache.replace(CredentialSnapshot(1, {}, {}, {}, {"int_1": integration}), 0.0)
    gate = Gate(cache, RefusalLog(), EdgeMetrics(), (), lambda: 1_800_000_000.0, monotonic)
    body = json.dumps({"from": "+966110000000", "to": "+966500000000", "text": "OK"}).encode()

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"authorization", f"Bearer {KEY}".encode())],
    }
    keys = count(1)
    door = SmsProvider(gate, core, lambda: f"key-{next(keys)}")
    return await door(HttpRequest(scope, receive, {"integration_id": "int_1"}))


@pytest.mark.parametrize("lost", [CoreTimeoutError("late"), CoreUnavailableError("the stream broke")])
async def test_a_lost_answer_is_asked_for_again_under_the_same_key(lost: Exception) -> None:
    core = Core(lost, lost, sent())
    answer = await post(core)
    assert answer.status == 200 and json.loads(answer.body)["data"]["id"] == "msg_1"
    assert [each.idempotency_key for each in core.asked] == ["sms:key-1"] * 3


async def test_refused_work_is_not_asked_for_again() -> None:
    core = Core(CoreUnavailableError("overloaded", retry_after_seconds=3.0))
    answer = await post(core)
    assert (answer.status, dict(answer.headers)["retry-after"]) == (503, "3")
    assert json.loads(answer.body)["errors"][0]["code"] == "service_unavailable"
    assert len(core.asked) == 1


async def test_it_is_not_asked_for_ever() -> None:
    clock = count(0, 3)
    core = Core(CoreUnavailableError("the policy core is out of reach"))
    assert (await post(core, lambda: float(next(clock)))).status == 503
    assert 1 < len(core.asked) < 6


async def test_equal_bodies_are_different_requests() -> None:
    first, second = Core(sent()), Core(sent())
    await post(first)
    await post(second)
    assert first.asked[0].body_digest == second.asked[0].body_digest
    assert first.asked[0].sms is not None and first.asked[0].purpose == ""
