"""What 3CX hears as the customer of a provider of text messages."""

import json
from typing import Any

import pytest

from edge import public_codes, sms_answers
from edge.answers import HttpAnswer
from edge.model import Decision, Finding, MessageFate, Outcome
from edge.words import Action, CheckName, MessageState, ReasonCode, Verdict

NOW = 1_800_000_000.0


def body(answer: HttpAnswer) -> Any:
    return json.loads(answer.body)


def answered(outcome: Outcome) -> HttpAnswer:
    return sms_answers.submission(outcome, "+966110000000", "+966500000001", NOW)


def sending(state: int) -> Outcome:
    decision = Decision("dec_1", 7, Verdict.ALLOW, ReasonCode.ALLOWED, Action.SEND)
    return Outcome(decision, MessageFate("msg_1", state, error_text="It said no."))


@pytest.mark.parametrize("state", [*MessageState, 99])
def test_a_committed_message_is_never_answered_with_5xx(state: int) -> None:
    answer = answered(sending(state))
    came_to_nothing = state in (MessageState.REJECTED, MessageState.FAILED, MessageState.LAPSED)
    assert 400 <= answer.status < 500 if came_to_nothing else answer.status == 200


def test_the_id_is_in_both_places() -> None:
    data = body(answered(sending(MessageState.UNKNOWN)))["data"]
    assert data["id"] == data["payload"]["id"] == "msg_1"
    assert data["from"] == {"phone_number": "+966110000000"}
    assert data["to"] == [{"phone_number": "+966500000001", "status": "queued"}]


def refused(reason: int, verdict: int = Verdict.DENY, findings: tuple[Finding, ...] = ()) -> HttpAnswer:
    decision = Decision("dec_1", 7, verdict, reason, Action.BLOCK, findings, explanation="Because.")
    return answered(Outcome(decision))


@pytest.mark.parametrize("reason", [each for each in ReasonCode if each is not ReasonCode.ALLOWED])
def test_every_refusal_is_4xx_with_a_reason_but_for_the_gateways_own_trouble(reason: ReasonCode) -> None:
    answer = refused(reason)
    [said] = body(answer)["errors"]
    assert said["code"] == answer.code and said["title"].endswith(".")
    own_trouble = said["code"] == "service_unavailable"
    assert answer.status == 503 if own_trouble else 400 <= answer.status < 500
    assert ("retry-after" in dict(answer.headers)) == (answer.status in (429, 503))
    assert body(answer)["log_id"] == 7


def test_an_unknown_number_goes_before_the_window_that_it_cannot_have() -> None:
    unknown = Finding(CheckName.INSTANCE, Verdict.DENY, ReasonCode.INSTANCE_UNKNOWN)
    window = Finding(CheckName.WINDOW, Verdict.DENY, ReasonCode.WINDOW_NEVER_OPENED)
    answer = refused(ReasonCode.WINDOW_NEVER_OPENED, findings=(window, unknown))
    assert (answer.status, answer.code) == (422, "unknown_business_number")


def test_a_limit_says_when_to_come_again() -> None:
    finding = Finding(
        CheckName.QUOTA, Verdict.DENY, ReasonCode.DAILY_QUOTA_SPENT, "Spent.", passes_at=NOW + 90
    )
    answer = refused(ReasonCode.DAILY_QUOTA_SPENT, findings=(finding,))
    assert (answer.status, dict(answer.headers)["retry-after"]) == (429, "90")


def test_a_reason_of_a_newer_policy_core_is_refused_by_its_verdict() -> None:
    assert refused(999).status == 403
    assert refused(999, Verdict.DEFER).status == 503


def test_the_documented_errors_are_those_that_occur() -> None:
    occurring = {refused(reason).code for reason in ReasonCode if reason is not ReasonCode.ALLOWED}
    occurring |= {answered(sending(state)).code for state in MessageState} - {"ok"}
    documented = {code.code for code in sms_answers.CODES}
    assert documented >= occurring - {"idempotency_key_reused", "invalid_3cx_webhook"}
    assert public_codes.PAYLOAD_TOO_LARGE in sms_answers.CODES
