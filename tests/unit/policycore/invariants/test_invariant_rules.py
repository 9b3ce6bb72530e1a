"""Each invariant by itself: a violation of each kind is found, and nothing on the right side of a boundary is."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from policycore.evidence import (
    OVERLAP,
    PROCESS_LOST,
    AnsweredDecision,
    Evidence,
    InboundMoment,
    LoggedDecision,
    OptOutSpan,
    Outbound,
    PauseSpan,
    Usage,
    Violation,
)
from policycore.invariants import OF_MESSAGES, late_hand_out, logged_message, opt_out, pause, quota, window
from policycore.invariants import sent_decision as decisions
from policycore.ledger import MessageState

NOON = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PAIR = ("ins_1", "per_1")
DECISION = LoggedDecision(7, "dec_1", NOON, "acc_1", "per_1", "msg_1", sends=True)
MESSAGE = Outbound(
    message_id="msg_1",
    account_id="acc_1",
    instance_id="ins_1",
    integration_id="int_1",
    person_id="per_1",
    state=MessageState.DELIVERED,
    error_code="",
    log_id=7,
    created_at=NOON,
    not_after=NOON + 2 * MINUTE,
    handed_out_at=NOON,
    confirms_opt_out=False,
    decision=DECISION,
)


def message(**changes: Any) -> Outbound:
    return replace(MESSAGE, **changes)


def allowed_at(moment: datetime, **changes: Any) -> Outbound:
    """A message that was decided and handed out then."""
    decision = replace(DECISION, decided_at=moment, log_id=changes.get("log_id", 7))
    return message(**{"created_at": moment, "handed_out_at": moment, "decision": decision, **changes})


def evidence(sent: Outbound, **more: Any) -> Evidence:
    """A message to a person who wrote an hour before noon."""
    wrote = {PAIR: [InboundMoment(NOON - HOUR, NOON - HOUR)]}
    return Evidence(**{"messages": [sent], "inbound": wrote, **more})


def test_a_message_in_order_breaks_nothing() -> None:
    assert [found for check in OF_MESSAGES.values() for found in check(evidence(MESSAGE))] == []


def test_a_violation_names_the_message_and_its_account() -> None:
    paused = PauseSpan("pau_1", "platform", "", NOON - HOUR, None, None)
    [found] = pause.check(evidence(MESSAGE, pauses=[paused]))
    assert (found.invariant, found.subject, found.account_id) == ("pause", "msg_1", "acc_1")
    assert "pau_1" in found.explanation


# --- pauses -------------------------------------------------------------------------------------------------


def paused(message: Outbound = MESSAGE, joined_at: datetime | None = None, **changes: Any) -> int:
    span = replace(PauseSpan("pau_1", "platform", "", NOON - HOUR, None, None), **changes)
    joined = {} if joined_at is None else {"per_1": joined_at}
    return len(pause.check(evidence(message, pauses=[span, span], joined_at=joined)))


@pytest.mark.parametrize(
    ("scope", "mine", "anothers"),
    [
        ("platform", "", None),
        ("galaxy", "gal_1", None),
        ("account", "acc_1", "acc_2"),
        ("instance", "ins_1", "ins_2"),
        ("integration", "int_1", "int_2"),
        ("person", "per_1", "per_2"),
    ],
)
def test_a_pause_covers_its_scope_and_no_other(scope: str, mine: str, anothers: str | None) -> None:
    assert paused(scope=scope, scope_id=mine) == 1
    if anothers is not None:
        assert paused(scope=scope, scope_id=anothers) == 0


def test_a_pause_holds_from_when_everybody_knows_it() -> None:
    assert paused(created_at=NOON - OVERLAP) == 0
    assert paused(created_at=NOON - OVERLAP - MOMENT) == 1
    assert paused(created_at=NOON + HOUR) == 0


def test_a_pause_that_ran_out_or_was_resumed_holds_nothing_back() -> None:
    assert paused(until=NOON) == 0
    assert paused(until=NOON + MOMENT) == 1
    assert paused(lifted_at=NOON - MINUTE) == 0
    assert paused(lifted_at=NOON + OVERLAP) == 0
    assert paused(lifted_at=NOON + OVERLAP + MOMENT) == 1
    assert paused(until=NOON - MINUTE, lifted_at=NOON + HOUR) == 0


def test_what_was_allowed_before_a_pause_may_not_be_handed_out_in_it() -> None:
    late = message(handed_out_at=NOON + MINUTE)
    assert paused(late, created_at=NOON + 20 * timedelta(seconds=1)) == 1
    assert paused(late, created_at=NOON + MINUTE - OVERLAP) == 0
    for state in (MessageState.LAPSED, MessageState.REJECTED, MessageState.WAITING, MessageState.HANDED_OUT):
        assert paused(message(handed_out_at=NOON + MINUTE, state=state), created_at=NOON) == 0
    lost = message(handed_out_at=NOON + MINUTE, state=MessageState.UNKNOWN, error_code=PROCESS_LOST)
    assert paused(lost, created_at=NOON) == 0
    assert paused(replace(lost, error_code="timeout"), created_at=NOON) == 1


def test_what_was_allowed_in_a_pause_is_wrong_whatever_became_of_it() -> None:
    assert paused(message(state=MessageState.LAPSED)) == 1


def test_a_pause_of_a_person_is_not_held_against_who_was_joined_later() -> None:
    person: dict[str, Any] = {"scope": "person", "scope_id": "per_1"}
    other = message(decision=replace(DECISION, person_id="per_2"))
    assert paused(other, **person) == 0
    assert paused(joined_at=NOON, **person) == 0
    assert paused(joined_at=NOON - OVERLAP - MOMENT, **person) == 1
    assert paused(other, scope="account", scope_id="acc_1") == 1


# --- windows ------------------------------------------------------------------------------------------------


def outside(sent: Outbound, **more: Any) -> int:
    return len(window.check(evidence(sent, **more)))


def test_a_decision_keeps_the_margin() -> None:
    closes = NOON - HOUR + 24 * HOUR - MINUTE
    assert outside(allowed_at(closes - MOMENT)) == 0
    assert outside(allowed_at(closes)) == 1


def test_a_hand_out_may_use_the_margin_up_and_no_more() -> None:
    closes = NOON - HOUR + 24 * HOUR
    before = {
        "created_at": closes - 2 * MINUTE,
        "decision": replace(DECISION, decided_at=closes - 2 * MINUTE),
    }
    assert outside(message(handed_out_at=closes - MOMENT, **before)) == 0
    assert outside(message(handed_out_at=closes, **before)) == 1
    assert outside(message(handed_out_at=closes, state=MessageState.LAPSED, **before)) == 0


def test_who_never_wrote_has_no_window() -> None:
    assert outside(MESSAGE, inbound={}) == 1
    assert outside(MESSAGE, inbound={("ins_2", "per_1"): [InboundMoment(NOON - HOUR, NOON - HOUR)]}) == 1


def test_what_was_recorded_after_the_decision_opens_nothing() -> None:
    def wrote(recorded_at: datetime) -> dict[Any, Any]:
        return {PAIR: [InboundMoment(recorded_at, NOON - HOUR)]}

    assert outside(MESSAGE, inbound=wrote(NOON + OVERLAP)) == 0
    assert outside(MESSAGE, inbound=wrote(NOON + OVERLAP + MOMENT)) == 1


def test_the_latest_message_counts_by_the_providers_clock() -> None:
    late = InboundMoment(NOON - MINUTE, NOON - 30 * HOUR)
    assert outside(MESSAGE, inbound={PAIR: [late]}) == 1
    assert outside(MESSAGE, inbound={PAIR: [InboundMoment(NOON - HOUR, NOON - HOUR), late]}) == 0


def test_the_windows_row_counts_only_where_no_message_is_kept() -> None:
    assert outside(MESSAGE, inbound={}, windows={PAIR: NOON - HOUR}) == 0
    assert outside(MESSAGE, inbound={}, windows={PAIR: NOON - 24 * HOUR}) == 1
    assert outside(MESSAGE, inbound={}, windows={PAIR: NOON + HOUR}) == 1
    old = {PAIR: [InboundMoment(NOON - 30 * HOUR, NOON - 30 * HOUR)]}
    assert outside(MESSAGE, inbound=old, windows={PAIR: NOON - HOUR}) == 1


# --- opt-outs -----------------------------------------------------------------------------------------------


def opted_out(sent: Outbound = MESSAGE, joined_at: datetime | None = None, **changes: Any) -> int:
    span = replace(OptOutSpan("sup_1", NOON - HOUR, None, None), **changes)
    joined = {} if joined_at is None else {"per_1": joined_at}
    return len(opt_out.check(evidence(sent, opt_outs={"per_1": [span, span]}, joined_at=joined)))


def test_an_opt_out_is_its_own_persons() -> None:
    entry = OptOutSpan("sup_1", NOON - HOUR, None, None)
    assert opt_out.check(evidence(MESSAGE, opt_outs={"per_2": [entry]})) == []
    assert opted_out() == 1


def test_numbers_of_the_log_tell_which_came_first_where_times_cannot() -> None:
    assert opted_out(created_at=NOON - MOMENT, log_id=6) == 1
    assert opted_out(created_at=NOON - OVERLAP, log_id=8) == 0
    assert opted_out(created_at=NOON - OVERLAP) == 0
    assert opted_out(created_at=NOON - OVERLAP - MOMENT) == 1


def test_the_confirmation_of_an_opt_out_is_decided_with_it() -> None:
    confirmation = message(confirms_opt_out=True)
    assert opted_out(confirmation, created_at=NOON, log_id=7) == 0
    assert opted_out(confirmation, created_at=NOON, log_id=6) == 0
    assert opted_out(confirmation, created_at=NOON - MINUTE, log_id=6) == 1
    assert opted_out(message(), created_at=NOON, log_id=6) == 1
    later = message(confirms_opt_out=True, handed_out_at=NOON + 4 * MINUTE)
    assert opted_out(later, created_at=NOON, log_id=7) == 0


def test_who_is_reactivated_may_be_written_to() -> None:
    assert opted_out(lifted_at=NOON - MINUTE, log_id=6) == 0
    assert opted_out(lifted_at=NOON + OVERLAP, log_id=6) == 0
    assert opted_out(lifted_at=NOON + OVERLAP + MOMENT, log_id=6) == 1


def test_what_was_allowed_before_an_opt_out_may_not_be_handed_out_after_it() -> None:
    late = message(handed_out_at=NOON + MINUTE)
    assert opted_out(late, created_at=NOON + MINUTE - OVERLAP, log_id=8) == 0
    assert opted_out(late, created_at=NOON + MINUTE - OVERLAP - MOMENT, log_id=8) == 1
    stopped = replace(late, state=MessageState.LAPSED)
    assert opted_out(stopped, created_at=NOON + MINUTE - OVERLAP - MOMENT, log_id=8) == 0
    assert opted_out(late, created_at=NOON + MINUTE / 2, lifted_at=NOON + MINUTE, log_id=8) == 0


def test_an_opt_out_is_not_held_against_who_was_joined_later() -> None:
    assert opted_out(message(decision=replace(DECISION, person_id="per_2"))) == 0
    assert opted_out(joined_at=NOON + HOUR) == 0
    assert opted_out(joined_at=NOON - OVERLAP) == 0
    assert opted_out(joined_at=NOON - OVERLAP - MOMENT) == 1


# --- not_after, log, quotas ---------------------------------------------------------------------------------


def test_a_hand_out_may_be_late_by_as_much_as_clocks_may_differ() -> None:
    def late(**changes: Any) -> int:
        return len(late_hand_out.check(evidence(message(**changes))))

    limit = NOON + 2 * MINUTE + MINUTE
    assert late(handed_out_at=limit) == 0
    assert late(handed_out_at=limit + MOMENT) == 1
    assert late(handed_out_at=limit + MOMENT, state=MessageState.LAPSED) == 0
    assert late(handed_out_at=limit + MOMENT, state=MessageState.REJECTED) == 0
    assert late(handed_out_at=None) == 0


@pytest.mark.parametrize(
    ("decision", "violations"),
    [
        (DECISION, 0),
        (None, 1),
        (replace(DECISION, sends=False), 1),
        (replace(DECISION, message_id="msg_2"), 1),
        (replace(DECISION, message_id=None), 1),
    ],
)
def test_a_message_has_the_decision_that_allowed_it(decision: LoggedDecision | None, violations: int) -> None:
    assert len(logged_message.check(evidence(message(decision=decision)))) == violations


@pytest.mark.parametrize(
    ("decision", "message_log_id", "violations"),
    [
        (DECISION, 7, 0),
        (DECISION, None, 1),
        (DECISION, 8, 1),
        (replace(DECISION, message_id=None), None, 1),
        (replace(DECISION, sends=False), 7, 1),
        (replace(DECISION, sends=False, message_id=None), None, 0),
    ],
)
def test_a_decision_to_send_has_its_message(
    decision: LoggedDecision, message_log_id: int | None, violations: int
) -> None:
    found = decisions.check([AnsweredDecision(decision, message_log_id)])
    assert [each.subject for each in found] == ["dec_1"] * violations


def test_a_quota_is_what_messages_hold() -> None:
    usages = [
        Usage("acc_1", "2026-03-14", 3, 3),
        Usage("acc_1", "2026-03", 4, 3),
        Usage("acc_2", "2026-03", 0, 1),
    ]
    found = quota.check(usages)
    assert [each.subject for each in found] == ["acc_1 2026-03", "acc_2 2026-03"]
    assert isinstance(found[0], Violation)


def test_days_are_looked_at_while_they_may_change_anywhere() -> None:
    days = quota.open_days(datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    assert [day.isoformat() for day in days] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    first, last = quota.span_of(date(2026, 3, 14))
    assert first == datetime(2026, 3, 13, 10, 0, tzinfo=UTC)
    assert last == datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("day", "count"), [(date(2026, 2, 11), 28), (date(2028, 2, 29), 29), (date(2026, 12, 31), 31)]
)
def test_a_month_has_all_its_days(day: date, count: int) -> None:
    names = quota.days_of_month(day)
    assert len(names) == count
    assert (names[0][-2:], names[-1][-2:]) == ("01", str(count))
