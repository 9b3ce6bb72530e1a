"""Outcomes of the policy core as HTTP answers."""

import json
from typing import Any

import pytest

from edge import answers
from edge.answers import HttpAnswer
from edge.model import Decision, Finding, Message, Outcome
from edge.words import Action, CheckName, EventType, MessageState, ReasonCode, Verdict

NOW = 1_800_000_000.0


def body(answer: HttpAnswer) -> dict[str, Any]:
    decoded = json.loads(answer.body)
    assert isinstance(decoded, dict)
    return decoded


def sending(state: int, **fields: Any) -> Outcome:
    message = Message("msg_1", state, **fields)
    return Outcome(
        Decision("dec_1", 7, Verdict.ALLOW, ReasonCode.ALLOWED, Action.SEND),
        message,
        event_type=EventType.OUTBOUND_MESSAGE,
    )


def refused(reason: int, verdict: int = Verdict.DENY, **fields: Any) -> Outcome:
    decision = Decision("dec_1", 7, verdict, reason, Action.BLOCK, **fields)
    return Outcome(decision, event_type=EventType.OUTBOUND_MESSAGE)


@pytest.mark.parametrize(
    ("state", "http_status", "word"),
    [
        (MessageState.ACCEPTED, 200, "sent"),
        (MessageState.SENT, 200, "sent"),
        (MessageState.DELIVERED, 200, "sent"),
        (MessageState.READ, 200, "sent"),
        (MessageState.WAITING, 202, "pending"),
        (MessageState.HANDED_OUT, 202, "pending"),
        (MessageState.UNKNOWN, 202, "pending"),
        (99, 202, "pending"),
    ],
)
def test_an_allowed_message_is_sent_or_pending(state: int, http_status: int, word: str) -> None:
    answer = answers.submission(sending(state, external_message_id="wa-1"), now=NOW)
    assert answer.status == http_status
    assert body(answer) == {
        "success": True,
        "status": word,
        "message_id": "msg_1",
        "external_message_id": "wa-1",
        "log_id": 7,
        "event_type": "outbound_message",
    }


@pytest.mark.parametrize("state", [MessageState.REJECTED, MessageState.FAILED])
def test_a_message_the_instance_refused_is_a_gateway_error(state: int) -> None:
    answer = answers.submission(sending(state, error_code="131026", error_text="Undeliverable."), now=NOW)
    assert answer.status == 502
    said = body(answer)
    assert (said["success"], said["error"], said["log_id"]) == (False, "gateway_send_failed", 7)
    assert said["details"]["code"] == "131026"
    assert said["message_id"] == "msg_1"


def test_a_message_that_lapsed_is_unavailable_and_asks_for_patience() -> None:
    answer = answers.submission(sending(MessageState.LAPSED), now=NOW)
    assert (answer.status, body(answer)["error"]) == (503, "service_unavailable")
    assert dict(answer.headers)["retry-after"] == "5"


def test_an_event_that_sends_nothing_is_accepted() -> None:
    decision = Decision("dec_1", 8, Verdict.ALLOW, ReasonCode.ALLOWED, Action.RECORD)
    answer = answers.submission(Outcome(decision, event_type=EventType.TEST), now=NOW)
    assert (answer.status, body(answer)["status"], body(answer)["log_id"]) == (200, "accepted", 8)
    assert body(answer)["event_type"] == "test"


def test_a_running_cool_down_is_skipped_with_the_time_left() -> None:
    reason = ReasonCode.COOL_DOWN_ACTIVE
    finding = Finding(CheckName.COOL_DOWN, Verdict.DENY, reason, passes_at=NOW + 61.2)
    decision = Decision("dec_1", 9, Verdict.DENY, reason, Action.SKIP, (finding,))
    answer = answers.submission(Outcome(decision, event_type=EventType.MISSED_CALL), now=NOW)
    assert (answer.status, body(answer)["status"]) == (200, "skipped")
    assert body(answer)["details"] == {"action": "skip", "retry_after": 62}


def test_a_repeat_says_so() -> None:
    first = sending(MessageState.SENT)
    answer = answers.submission(Outcome(first.decision, first.message, True, 2), now=NOW)
    assert body(answer)["duplicate"] is True
    assert "duplicate" not in body(answers.submission(first, now=NOW))


def test_a_spent_quota_tells_its_numbers_and_when_it_resets() -> None:
    reason = ReasonCode.DAILY_QUOTA_SPENT
    finding = Finding(
        CheckName.QUOTA, Verdict.DENY, reason, "100 of 100 used.", limit=100, used=100, passes_at=NOW + 3_600
    )
    answer = answers.submission(refused(reason, findings=(finding,)), now=NOW)
    assert answer.status == 429
    assert dict(answer.headers)["retry-after"] == "3600"
    details = body(answer)["details"]
    assert (details["limit"], details["used"], details["retry_after"]) == (100, 100, 3_600)
    assert details["resets_at"] == "2027-01-15T09:00:00.000Z"
    assert details["findings"][0]["check"] == "quota"


def test_a_refusal_lists_every_finding_with_its_numbers() -> None:
    window = Finding(
        CheckName.WINDOW, Verdict.DENY, ReasonCode.WINDOW_EXPIRED, "26 hours.", facts={"last_inbound_at": "x"}
    )
    rate = Finding(
        CheckName.RATE, Verdict.DEFER, ReasonCode.PAIR_RATE_LIMITED, "Later.", shadow=True, limit=10
    )
    outcome = refused(
        ReasonCode.WINDOW_EXPIRED, findings=(window, rate), risk_score=12, explanation="Closed."
    )
    answer = answers.submission(outcome, now=NOW)
    said = body(answer)
    assert (answer.status, said["error"], said["log_id"]) == (409, "conversation_window_closed", 7)
    assert (said["details"]["action"], said["details"]["risk_score"]) == ("block", 12)
    assert said["details"]["explanation"] == "Closed."
    assert [each["reason"] for each in said["details"]["findings"]] == ["window_expired", "pair_rate_limited"]
    assert said["details"]["findings"][1]["shadow"] is True
    assert "retry-after" not in dict(answer.headers)


@pytest.mark.parametrize("reason", [r for r in ReasonCode if r is not ReasonCode.ALLOWED])
def test_answers_that_ask_for_patience_always_say_how_long(reason: ReasonCode) -> None:
    answer = answers.submission(refused(reason, retry_after_seconds=1.1), now=NOW)
    assert (answer.status in (429, 503)) == (dict(answer.headers).get("retry-after") == "2")


def test_a_suppressed_person_comes_with_the_way_out() -> None:
    said = body(answers.submission(refused(ReasonCode.RECIPIENT_SUPPRESSED), now=NOW))
    assert "START / ابدأ" in said["message"]


def test_an_unknown_reason_says_what_the_policy_core_said() -> None:
    answer = answers.submission(refused(4_711, explanation="A rule of tomorrow."), now=NOW)
    assert (answer.status, body(answer)["error"]) == (403, "policy_violation")
    assert body(answer)["message"] == "A rule of tomorrow."


def test_the_send_api_names_a_wrong_instance_before_anything_else() -> None:
    findings = (
        Finding(CheckName.PURPOSE, Verdict.DENY, ReasonCode.PURPOSE_MISSING),
        Finding(CheckName.WINDOW, Verdict.DENY, ReasonCode.WINDOW_NEVER_OPENED),
        Finding(CheckName.INSTANCE, Verdict.DEFER, ReasonCode.INSTANCE_UNKNOWN, "No such instance."),
    )
    outcome = refused(ReasonCode.PURPOSE_MISSING, findings=findings, explanation="No purpose.")
    answer = answers.submission(outcome, now=NOW, send_api=True)
    assert (answer.status, body(answer)["error"]) == (404, "invalid_instance")
    assert body(answer)["details"]["explanation"] == "No such instance."
    assert "event_type" not in body(answer)
    webhook = answers.submission(outcome, now=NOW)
    assert (webhook.status, body(webhook)["error"]) == (422, "message_purpose_not_allowed")


def test_the_send_api_names_a_missing_purpose_before_a_bad_phone() -> None:
    findings = (
        Finding(CheckName.PHONE, Verdict.DENY, ReasonCode.INVALID_PHONE),
        Finding(CheckName.PURPOSE, Verdict.DENY, ReasonCode.PURPOSE_MISSING),
    )
    answer = answers.submission(refused(ReasonCode.INVALID_PHONE, findings=findings), now=NOW, send_api=True)
    assert body(answer)["error"] == "message_purpose_required"


def test_the_generic_401_is_the_contracts_text_byte_for_byte() -> None:
    answer = answers.unauthenticated_webhook()
    assert answer.body == (
        b'{"success": false, "error": "invalid_3cx_webhook", "message": "Invalid 3CX webhook request."}'
    )
    assert answer.headers == ()


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (MessageState.READ, "sent"),
        (MessageState.UNKNOWN, "pending"),
        (MessageState.LAPSED, "failed"),
        (MessageState.REJECTED, "failed"),
        (MessageState.RECEIVED, "received"),
    ],
)
def test_what_became_of_a_message(state: int, word: str) -> None:
    view = answers.message_view(Message("msg_1", state, created_at=NOW))
    assert view["status"] == word
    assert view["created_at"] == "2027-01-15T08:00:00.000Z"
