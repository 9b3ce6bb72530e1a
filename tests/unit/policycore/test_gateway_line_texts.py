"""The lines that tell agents why a reply did not go out."""

import pytest

from policycore.gateway_lines import MARK, Why, line, why_failed, why_refused
from policycore.ledger import MessageState
from policycore.model import Action, Decision, Finding
from policycore.reasons import CheckName, ReasonCode, Verdict


def decision(reason: ReasonCode, verdict: Verdict = Verdict.DENY, *findings: Finding) -> Decision:
    return Decision(verdict, reason, Action.BLOCK, findings, 0, None, 1, "")


@pytest.mark.parametrize("why", Why)
def test_every_reason_is_told_in_english_and_arabic(why: Why) -> None:
    english, arabic = line(why, "en"), line(why, "ar")
    assert english.startswith(f"{MARK} Not ") and english.isascii()
    assert arabic.startswith(f"{MARK} لم ") and english != arabic
    assert line(why, "de") == english
    # A text message of a phone system must take it.
    assert len(english) < 300 and len(arabic) < 300


@pytest.mark.parametrize("reason", [each for each in ReasonCode if each is not ReasonCode.ALLOWED])
def test_every_refusal_has_a_reason_to_tell(reason: ReasonCode) -> None:
    admission = {
        ReasonCode.UNSUPPORTED_EVENT_TYPE,
        ReasonCode.CALL_EVENTS_DISABLED,
        ReasonCode.INSTANCE_NOT_FOR_TEST_KEY,
        ReasonCode.SIGNATURE_REPLAYED,
        ReasonCode.IDEMPOTENCY_KEY_REUSED,
    }
    told = why_refused(decision(reason))
    assert (told is Why.CONTENT) == (
        reason is ReasonCode.CONTENT_MARKETING
        or reason in admission
        or reason in {ReasonCode.FACTS_UNREADABLE, ReasonCode.CLOCK_UNTRUSTED, ReasonCode.OVERLOADED}
    )
    assert why_refused(decision(ReasonCode.FACTS_UNREADABLE, Verdict.DEFER)) is Why.UNAVAILABLE


def test_a_number_without_an_instance_goes_before_the_window_that_it_cannot_have() -> None:
    unknown = Finding(CheckName.INSTANCE, Verdict.DENY, ReasonCode.INSTANCE_UNKNOWN)
    found = decision(ReasonCode.WINDOW_NEVER_OPENED, Verdict.DENY, unknown)
    assert why_refused(found) is Why.UNKNOWN_NUMBER


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        (MessageState.FAILED, "131026", Why.REFUSED),
        (MessageState.REJECTED, "", Why.REFUSED),
        (MessageState.LAPSED, "too_late", Why.TOO_LATE),
        (MessageState.LAPSED, "recipient_suppressed", Why.SUPPRESSED),
        (MessageState.DELIVERED, "recipient_suppressed", None),
        (MessageState.UNKNOWN, "", None),
    ],
)
def test_what_came_to_nothing_has_a_reason(state: MessageState, code: str, expected: Why | None) -> None:
    assert why_failed(state, code) is expected


def test_a_later_failure_says_which_message() -> None:
    told = line(Why.REFUSED, "en", "Your  order\nleaves " + "x" * 100)
    assert told.endswith(" «Your order leaves " + "x" * 22 + "…»"), told
    assert line(Why.REFUSED, "en", " \n ") == line(Why.REFUSED, "en")
