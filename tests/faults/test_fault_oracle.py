"""The oracle notices: of a healthy round it says nothing, and each planted mistake it finds, under its promise."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from faults.evidence import (
    LAPSED,
    UNKNOWN,
    WAITING,
    AccountRow,
    Answer,
    DecisionRow,
    Evidence,
    Ledger,
    MessageRow,
    Outage,
    OutboxRow,
    Paused,
    Record,
    Request,
    SuppressionRow,
    WindowRow,
    Written,
)
from faults.oracle import CHECKS, judge
from faults.stand_ins import Arrival, Forwarded
from policycore.checks import build_checks
from policycore.content.score import ContentScore
from policycore.decide import decide
from policycore.decide_inputs import decision_inputs
from policycore.model import EventType, Facts, Intent, Rules, Source
from policycore.store.findings import encode_json

NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC).timestamp()
ACCOUNT, INSTANCE, PERSON, PHONE = "acc_1", "ins_1", "prs_1", "+966500000001"
OTHER, OTHER_PHONE = "prs_2", "+966500000002"


def healthy() -> Evidence:
    """One person wrote and was answered; another wrote, opted out, and was not."""
    texts = ("Done. #t1", "Done, too. #t2")
    record = Record(
        requests=[
            Request("t1", ACCOUNT, PHONE, texts[0], "k1", [_answer(1, "msg_1"), _answer(1, "msg_1")]),
            Request("t2", ACCOUNT, PHONE, texts[1], "", [_answer(2, "msg_2")]),
        ],
        written=[
            Written(INSTANCE, PHONE, "in-1", "Hello", NOON - 60, NOON - 59, NOON - 58),
            Written(INSTANCE, OTHER_PHONE, "in-2", "STOP", NOON - 50, NOON - 49, NOON - 48),
        ],
        pauses=[Paused(INSTANCE, NOON + 100)],
        outages=[Outage("postgresql", NOON + 200, NOON + 210), Outage("redis", NOON + 300, NOON + 400)],
    )
    ledger = Ledger(
        accounts={ACCOUNT: AccountRow(ACCOUNT, "Asia/Riyadh", 2, 100)},
        messages=[
            _ours("msg_1", texts[0], "out-1", 1),
            _ours("msg_2", texts[1], "out-2", 2),
            _theirs("msg_3", "Hello", "in-1", PERSON),
            _theirs("msg_4", "STOP", "in-2", OTHER),
        ],
        decisions=[_decision(1, "msg_1"), _decision(2, "msg_2")],
        windows=[WindowRow(INSTANCE, PERSON, NOON - 60), WindowRow(INSTANCE, OTHER, NOON - 50)],
        suppressions=[SuppressionRow(OTHER, "person", "all", False)],
        outbox=[
            OutboxRow("message.received", "sent", "in-1", "int_1"),
            OutboxRow("recipient.opted_out", "sent", "in-2", "int_1"),
        ],
        quota={(ACCOUNT, "2026-07-01"): 2, (ACCOUNT, "2026-07"): 2},
        person_of={(ACCOUNT, PHONE): PERSON, (ACCOUNT, OTHER_PHONE): OTHER},
    )
    arrivals = [
        Arrival(NOON + 1, "main", PHONE, texts[0], "out-1", True),
        Arrival(NOON + 1, "main", PHONE, texts[1], "out-2", True),
        Arrival(NOON - 47, "main", OTHER_PHONE, "You are opted out.", "out-3", True),
    ]
    forwarded = [
        Forwarded(NOON, "message.received", PHONE, "in-1", True),
        Forwarded(NOON, "recipient.opted_out", OTHER_PHONE, "in-2", True),
    ]
    return Evidence(record, ledger, arrivals, forwarded, {INSTANCE: "main"})


def _answer(log_id: int, message_id: str) -> Answer:
    return Answer(NOON, NOON + 1, 200, {"log_id": log_id, "message_id": message_id})


def _ours(message_id: str, text: str, external_id: str, log_id: int) -> MessageRow:
    return MessageRow(
        message_id,
        ACCOUNT,
        INSTANCE,
        PERSON,
        PHONE,
        text,
        True,
        3,
        external_id,
        log_id,
        NOON,
        "2026-07-01",
        "2026-07",
    )


def _theirs(message_id: str, text: str, external_id: str, person: str) -> MessageRow:
    return MessageRow(message_id, ACCOUNT, INSTANCE, person, "", text, False, 11, external_id, 0, NOON - 49)


def _decision(log_id: int, message_id: str) -> DecisionRow:
    return DecisionRow(log_id, ACCOUNT, message_id, "integration", 1, 1, 1)


Plant = Callable[[Evidence], object]


def _row(seen: Evidence, place: int, **changes: object) -> None:
    seen.ledger.messages[place] = replace(seen.ledger.messages[place], **changes)  # type: ignore[arg-type]


def _arrives(seen: Evidence, at: float, text: str = "Done. #t1", phone: str = PHONE) -> None:
    seen.arrivals.append(Arrival(at, "main", phone, text, f"more-{at}", True))


def _sent_while_opted_out(seen: Evidence) -> None:
    seen.ledger.messages.append(replace(_ours("msg_9", "No. #t9", "out-9", 1), phone=OTHER_PHONE))
    _arrives(seen, NOON + 1, "No. #t9", OTHER_PHONE)


def _answers(seen: Evidence, began: float, seconds: float, count: int = 30) -> None:
    seen.record.requests[1].answers += [
        Answer(began, began + seconds, 200, {"log_id": 2, "message_id": "msg_2"}) for _ in range(count)
    ]


def _slow_without_redis(seen: Evidence) -> None:
    _answers(seen, NOON + 10, 0.010, 40)
    _answers(seen, NOON + 310, 0.080, 40)


def _stored_otherwise(seen: Evidence) -> None:
    seen.ledger.decisions.append(replace(_logged(), verdict=1, action=1))


def _logged() -> DecisionRow:
    """A true row of the policy log: somebody who never wrote was to be written to, and was not."""
    now = datetime.fromtimestamp(NOON, UTC)
    intent = Intent(
        account_id=ACCOUNT,
        source=Source.THREECX,
        caller="integration",
        event_type=EventType.OUTBOUND_MESSAGE,
        phone_text=PHONE,
        text="Hello",
        purpose_text="support",
    )
    score = ContentScore(0, ())
    decision = decide(intent, Facts(), Rules(), now, build_checks(lambda text, similar: score))
    inputs = decision_inputs(intent, Facts(), Rules(), now, decision)
    return DecisionRow(
        9,
        ACCOUNT,
        "",
        "int",
        int(decision.verdict),
        int(decision.reason),
        int(decision.action),
        encode_json(inputs),
    )


PLANTED: dict[str, tuple[str, Plant]] = {
    "an answered decision is gone": ("G1", lambda seen: seen.ledger.decisions.pop(0)),
    "an answered message is gone": ("G1", lambda seen: seen.ledger.messages.pop(0)),
    "a message was left waiting": ("G1", lambda seen: _row(seen, 0, state=WAITING)),
    "an acknowledged message goes nowhere": ("G1", lambda seen: seen.ledger.outbox.pop(0)),
    "an event was never delivered": ("G1", lambda seen: seen.forwarded.pop(0)),
    "an event was given up": (
        "G1",
        lambda seen: seen.ledger.outbox.append(OutboxRow("message.received", "failed", "in-1", "int_2")),
    ),
    "an acknowledged webhook left nothing": ("G2", lambda seen: seen.ledger.messages.pop(2)),
    "a webhook acted twice": ("G2", lambda seen: seen.ledger.messages.append(seen.ledger.messages[2])),
    "a webhook is forwarded twice": ("G2", lambda seen: seen.ledger.outbox.append(seen.ledger.outbox[0])),
    "a request left twice": ("G3", lambda seen: _arrives(seen, NOON + 2)),
    "a request is two messages": (
        "G3",
        lambda seen: seen.ledger.messages.append(_ours("msg_9", "Done. #t1", "out-9", 1)),
    ),
    "a refused request was attempted again": (
        "G3",
        lambda seen: seen.arrivals.append(Arrival(NOON, "main", PHONE, "Done, too. #t2", "x", False)),
    ),
    "what left is called unsent": ("G3", lambda seen: _row(seen, 1, state=LAPSED)),
    "what never left is called accepted": ("G3", lambda seen: seen.arrivals.pop(0)),
    "what left is not in the ledger": ("G3", lambda seen: _arrives(seen, NOON, "From nowhere. #t7")),
    "a stranger was written to": ("G4", lambda seen: _arrives(seen, NOON, phone="+966500000009")),
    "the window was over": ("G4", lambda seen: _arrives(seen, NOON - 60 + 86_400)),
    "the margin was not kept": ("G4", lambda seen: _arrives(seen, NOON - 60 + 86_400 - 50)),
    "a window was moved back": (
        "G4",
        lambda seen: seen.ledger.windows.__setitem__(0, WindowRow(INSTANCE, PERSON, NOON - 7_200)),
    ),
    "a message after an opt-out": ("G5", _sent_while_opted_out),
    "an opt-out was forgotten": ("G5", lambda seen: seen.ledger.suppressions.clear()),
    "an opt-out was confirmed twice": (
        "G5",
        lambda seen: _arrives(seen, NOON, "You are opted out.", OTHER_PHONE),
    ),
    "a message while paused": ("G5", lambda seen: _arrives(seen, NOON + 110)),
    "one more was counted than kept": (
        "G6",
        lambda seen: seen.ledger.quota.__setitem__((ACCOUNT, "2026-07-01"), 3),
    ),
    "a message was given back and kept": ("G6", lambda seen: seen.ledger.quota.clear()),
    "more than the limit was admitted": (
        "G6",
        lambda seen: seen.ledger.accounts.__setitem__(ACCOUNT, AccountRow(ACCOUNT, "Asia/Riyadh", 1, 100)),
    ),
    "it counts for the wrong day": ("G6", lambda seen: _row(seen, 0, created_at=NOON + 43_200)),
    "a message without a decision": ("G7", lambda seen: seen.ledger.decisions.pop(1)),
    "a message that was refused": (
        "G7",
        lambda seen: seen.ledger.decisions.__setitem__(1, replace(_decision(2, "msg_2"), verdict=2)),
    ),
    "a decision without its message": (
        "G7",
        lambda seen: seen.ledger.decisions.append(_decision(3, "msg_gone")),
    ),
    "a decision that comes out otherwise": ("G7", _stored_otherwise),
    "accepted without a database": ("G8", lambda seen: _answers(seen, NOON + 201, 0.5, 1)),
    "not told when to come again": (
        "G8",
        lambda seen: seen.record.requests[0].answers.append(Answer(NOON + 201, NOON + 202, 503)),
    ),
    "slow without Redis": ("G8", _slow_without_redis),
}


def test_of_a_healthy_round_nothing_is_said() -> None:
    seen = healthy()
    seen.ledger.decisions.append(_logged())
    found = judge(seen)
    assert found.violations == []
    assert all(found.checks[promise] for promise in CHECKS if promise != "G8")


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found_under_its_promise(name: str) -> None:
    promise, plant = PLANTED[name]
    seen = healthy()
    plant(seen)
    assert promise in {violation.promise for violation in judge(seen).violations}


def test_every_promise_has_a_planted_mistake() -> None:
    assert {promise for promise, _ in PLANTED.values()} == set(CHECKS)


def test_a_refusal_that_is_asked_again_under_its_key_is_no_mistake() -> None:
    seen = healthy()
    seen.arrivals.append(Arrival(NOON, "main", PHONE, "Done. #t1", "refused", False))
    seen.ledger.messages.append(replace(_ours("msg_0", "Done. #t1", "", 1), state=7))
    seen.ledger.decisions.append(_decision(1, "msg_0"))
    assert judge(seen).violations == []


def test_a_word_that_was_recorded_counts_even_if_nobody_heard_that_it_was() -> None:
    seen = healthy()
    seen.record.written.append(Written(INSTANCE, OTHER_PHONE, "in-3", "START", NOON - 40, NOON - 39, None))
    assert judge(seen).violations == [], "it never came"
    seen.ledger.messages.append(_theirs("msg_5", "START", "in-3", OTHER))
    seen.ledger.outbox.append(OutboxRow("message.received", "sent", "in-3", "int_1"))
    seen.forwarded.append(Forwarded(NOON, "message.received", OTHER_PHONE, "in-3", True))
    assert {violation.promise for violation in judge(seen).violations} == {"G5"}
    seen.ledger.suppressions.clear()
    assert judge(seen).violations == []


def test_an_unknown_outcome_may_have_left_or_not() -> None:
    seen = healthy()
    _row(seen, 0, state=UNKNOWN)
    assert judge(seen).violations == []
    seen.arrivals.pop(0)
    assert judge(seen).violations == []


def test_what_was_under_way_when_somebody_opted_out_may_still_arrive() -> None:
    seen = healthy()
    stopped_at = seen.record.written[1].acknowledged_at or 0.0
    before = timedelta(seconds=1).total_seconds()
    row = replace(_ours("msg_9", "Ok. #t9", "out-9", 9), phone=OTHER_PHONE, created_at=stopped_at - before)
    seen.ledger.messages.append(replace(row, reserved_day="", reserved_month=""))
    seen.ledger.decisions.append(_decision(9, "msg_9"))
    _arrives(seen, stopped_at + 0.5, "Ok. #t9", OTHER_PHONE)
    assert judge(seen).violations == []
