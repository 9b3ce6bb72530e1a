"""The decision: precedence, shadow, actions, retry times, and what must hold for every set of findings."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from policycore.checks import NamedCheck, build_checks
from policycore.content.load import load_scorer
from policycore.decide import decide, sends_nothing
from policycore.model import (
    TEMPLATED,
    Action,
    EventType,
    Facts,
    Finding,
    InstanceFact,
    Intent,
    PauseFact,
    QuotaFact,
    Rules,
    Source,
    SuppressionFact,
    TemplateFact,
    ToggleFacts,
)
from policycore.reasons import PRECEDENCE, SHADOWABLE, CheckName, ReasonCode, Verdict

NOW = datetime(2026, 5, 8, 10, tzinfo=UTC)
CHECKS = build_checks(load_scorer())
INTENT = Intent(
    account_id="acc_1",
    source=Source.THREECX,
    caller="edge",
    event_type=EventType.OUTBOUND_MESSAGE,
    phone_text="+966500000000",
    text="Your support ticket has been updated.",
    purpose_text="support",
)
FACTS = Facts(
    phone="+966500000000",
    last_inbound_at=NOW - timedelta(hours=1),
    day=QuotaFact(100, 3, NOW + timedelta(hours=11)),
    month=QuotaFact(2000, 30, NOW + timedelta(days=23)),
    instance=InstanceFact("ins_1", "sandbox", "open"),
)
TEMPLATE = TemplateFact(enabled=True, language="en", text="We missed your call.", purpose="support")
SPENT = QuotaFact(100, 100, NOW + timedelta(hours=11))
OPTED_OUT = SuppressionFact("sup_1", "person", "all", NOW - timedelta(days=1))
PAUSED = PauseFact("pau_1", "account", "ops", "", NOW + timedelta(hours=30))
ADVERTISEMENT = "Get 50% off everything, shop now"


def call_event(event: EventType, template: TemplateFact | None = TEMPLATE) -> tuple[Intent, Facts]:
    toggles = ToggleFacts(is_integration=True, call_events_enabled=True, template=template)
    return replace(INTENT, event_type=event, purpose_text=""), replace(FACTS, toggles=toggles)


def fixed(finding: Finding) -> NamedCheck:
    return finding.check, lambda intent, facts, rules, now: finding


def test_a_reply_inside_the_window_is_sent() -> None:
    decision = decide(INTENT, FACTS, Rules(version=7), NOW, CHECKS)
    assert (decision.verdict, decision.reason, decision.action) == (
        Verdict.ALLOW,
        ReasonCode.ALLOWED,
        Action.SEND,
    )
    assert tuple(finding.check for finding in decision.findings) == PRECEDENCE
    assert decision.rules_version == 7
    assert decision.retry_after_seconds is None
    assert decision.risk_score == 0


def test_every_refusal_is_kept_and_the_first_in_precedence_gives_the_reason() -> None:
    facts = replace(FACTS, suppression=OPTED_OUT, last_inbound_at=None, day=SPENT, pauses=(PAUSED,))
    decision = decide(replace(INTENT, text=ADVERTISEMENT), facts, Rules(), NOW, CHECKS)
    refused = [finding.reason for finding in decision.findings if finding.verdict is not Verdict.ALLOW]
    assert refused == [
        ReasonCode.RECIPIENT_SUPPRESSED,
        ReasonCode.WINDOW_NEVER_OPENED,
        ReasonCode.ACCOUNT_PAUSED,
        ReasonCode.CONTENT_MARKETING,
        ReasonCode.DAILY_QUOTA_SPENT,
    ]
    assert decision.reason is ReasonCode.RECIPIENT_SUPPRESSED
    assert decision.action is Action.BLOCK
    assert decision.risk_score >= 80
    assert decision.explanation == decision.findings[PRECEDENCE.index(CheckName.SUPPRESSION)].explanation


def test_a_denial_late_in_precedence_beats_an_earlier_deferral() -> None:
    facts = replace(FACTS, day=SPENT, unreadable=frozenset({"WINDOW"}))
    decision = decide(INTENT, facts, Rules(), NOW, CHECKS)
    assert (decision.verdict, decision.reason) == (Verdict.DENY, ReasonCode.DAILY_QUOTA_SPENT)


def test_only_deferrals_defer_with_the_first_reason() -> None:
    facts = replace(
        FACTS,
        instance=InstanceFact("ins_1", "waha", "close"),
        pair_wait_seconds=99.0,
        clock_offset_seconds=99.0,
    )
    decision = decide(INTENT, facts, Rules(), NOW, CHECKS)
    assert (decision.verdict, decision.reason) == (Verdict.DEFER, ReasonCode.INSTANCE_NOT_CONNECTED)
    assert decision.action is Action.BLOCK


@pytest.mark.parametrize(
    ("facts", "seconds"),
    [
        (replace(FACTS, day=SPENT), 11 * 3600.0),
        (replace(FACTS, day=SPENT, pauses=(PAUSED,)), 30 * 3600.0),
        (replace(FACTS, day=SPENT, last_inbound_at=None), None),
        (replace(FACTS, day=SPENT, instance=InstanceFact("ins_1", "waha", "close")), 11 * 3600.0),
        (replace(FACTS, instance_wait_seconds=45.0), 15.0),
        (replace(FACTS, day=replace(SPENT, resets_at=NOW - timedelta(seconds=5))), 0.0),
    ],
)
def test_retry_after_is_when_everything_passes(facts: Facts, seconds: float | None) -> None:
    assert decide(INTENT, facts, Rules(), NOW, CHECKS).retry_after_seconds == seconds


@pytest.mark.parametrize("event", [EventType.TEST, EventType.CALL_STARTED])
def test_events_that_send_nothing_are_recorded_whatever_else_is_true(event: EventType) -> None:
    intent, facts = call_event(event)
    facts = replace(
        Facts(toggles=facts.toggles), suppression=OPTED_OUT, unreadable=frozenset({"WINDOW", "QUOTA"})
    )
    decision = decide(replace(intent, text="", phone_text=""), facts, Rules(), NOW, CHECKS)
    assert (decision.verdict, decision.action) == (Verdict.ALLOW, Action.RECORD)
    assert [finding.check for finding in decision.findings] == [CheckName.TOGGLES]


@pytest.mark.parametrize("event", sorted(TEMPLATED))
@pytest.mark.parametrize("template", [None, replace(TEMPLATE, enabled=False)])
def test_call_events_without_an_enabled_template_are_recorded(
    event: EventType, template: TemplateFact | None
) -> None:
    intent, facts = call_event(event, template)
    assert sends_nothing(intent, facts)
    assert decide(intent, facts, Rules(), NOW, CHECKS).action is Action.RECORD


@pytest.mark.parametrize("event", sorted(TEMPLATED))
def test_call_events_with_a_template_are_sent_through_every_check(event: EventType) -> None:
    intent, facts = call_event(event)
    assert decide(intent, facts, Rules(), NOW, CHECKS).action is Action.SEND
    closed = decide(intent, replace(facts, last_inbound_at=None), Rules(), NOW, CHECKS)
    assert closed.reason is ReasonCode.WINDOW_NEVER_OPENED


def test_a_cool_down_skips_and_a_stronger_reason_blocks() -> None:
    intent, facts = call_event(EventType.MISSED_CALL)
    facts = replace(facts, cool_down_until=NOW + timedelta(minutes=10))
    skipped = decide(intent, facts, Rules(), NOW, CHECKS)
    assert (skipped.verdict, skipped.action, skipped.retry_after_seconds) == (
        Verdict.DENY,
        Action.SKIP,
        600.0,
    )
    blocked = decide(intent, replace(facts, suppression=OPTED_OUT), Rules(), NOW, CHECKS)
    assert (blocked.reason, blocked.action) == (ReasonCode.RECIPIENT_SUPPRESSED, Action.BLOCK)


def test_an_event_that_is_not_known_is_refused() -> None:
    decision = decide(replace(INTENT, event_type=EventType.UNSUPPORTED), FACTS, Rules(), NOW, CHECKS)
    assert (decision.reason, decision.action) == (ReasonCode.UNSUPPORTED_EVENT_TYPE, Action.BLOCK)


def test_shadow_watches_and_does_not_refuse() -> None:
    facts = replace(FACTS, day=SPENT, instance_wait_seconds=99.0)
    decision = decide(replace(INTENT, text=ADVERTISEMENT), facts, Rules(shadow=SHADOWABLE), NOW, CHECKS)
    assert (decision.verdict, decision.action) == (Verdict.ALLOW, Action.SEND)
    watched = {finding.check: finding for finding in decision.findings if finding.shadow}
    assert set(watched) == SHADOWABLE
    assert watched[CheckName.CONTENT].reason is ReasonCode.CONTENT_MARKETING
    assert watched[CheckName.QUOTA].verdict is Verdict.DENY
    assert watched[CheckName.RATE].verdict is Verdict.DEFER


def test_most_checks_cannot_be_put_in_shadow() -> None:
    rules = Rules(shadow=frozenset(CheckName))
    for facts, reason in [
        (replace(FACTS, last_inbound_at=None), ReasonCode.WINDOW_NEVER_OPENED),
        (replace(FACTS, suppression=OPTED_OUT), ReasonCode.RECIPIENT_SUPPRESSED),
        (replace(FACTS, pauses=(PAUSED,)), ReasonCode.ACCOUNT_PAUSED),
        (replace(FACTS, instance=None), ReasonCode.INSTANCE_UNKNOWN),
        (replace(FACTS, clock_offset_seconds=1e9), ReasonCode.CLOCK_UNTRUSTED),
    ]:
        assert decide(INTENT, facts, rules, NOW, CHECKS).reason is reason
    assert (
        decide(replace(INTENT, purpose_text="marketing"), FACTS, rules, NOW, CHECKS).verdict is Verdict.DENY
    )


@pytest.mark.parametrize("name", PRECEDENCE)
@pytest.mark.parametrize("shadow", [frozenset[CheckName](), SHADOWABLE])
def test_what_is_unreadable_defers(name: CheckName, shadow: frozenset[CheckName]) -> None:
    facts = replace(FACTS, unreadable=frozenset({name.name}))
    decision = decide(INTENT, facts, Rules(shadow=shadow), NOW, CHECKS)
    assert (decision.verdict, decision.reason) == (Verdict.DEFER, ReasonCode.FACTS_UNREADABLE)


@pytest.mark.parametrize("name", ["TOGGLES", "something else"])
def test_an_event_that_sends_nothing_still_needs_its_switches(name: str) -> None:
    intent = replace(INTENT, event_type=EventType.TEST)
    decision = decide(intent, replace(FACTS, unreadable=frozenset({name})), Rules(), NOW, CHECKS)
    assert decision.verdict is Verdict.DEFER


FINDINGS = st.builds(
    lambda check, verdict, seconds: Finding(
        check,
        verdict,
        ReasonCode.ALLOWED if verdict is Verdict.ALLOW else ReasonCode.PURPOSE_NOT_ALLOWED,
        passes_at=None if seconds is None else NOW + timedelta(seconds=seconds),
    ),
    st.sampled_from(PRECEDENCE),
    st.sampled_from(Verdict),
    st.none() | st.integers(0, 1000),
)
SOME_FINDINGS = st.lists(FINDINGS, min_size=1, max_size=13, unique_by=lambda finding: finding.check)


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    return decide(INTENT, FACTS, Rules(), NOW, [fixed(finding) for finding in findings]).verdict


@given(SOME_FINDINGS, st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_the_order_of_checks_does_not_matter(findings: list[Finding], random: object) -> None:
    shuffled = list(findings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    given_order = decide(INTENT, FACTS, Rules(), NOW, [fixed(finding) for finding in findings])
    assert decide(INTENT, FACTS, Rules(), NOW, [fixed(finding) for finding in shuffled]) == given_order


@given(SOME_FINDINGS)
@settings(max_examples=100)
def test_deny_beats_defer_beats_allow(findings: list[Finding]) -> None:
    verdicts = {finding.verdict for finding in findings}
    strongest = next(one for one in (Verdict.DENY, Verdict.DEFER, Verdict.ALLOW) if one in verdicts)
    assert verdict_of(findings) is strongest


@given(SOME_FINDINGS, st.data())
@settings(max_examples=100)
def test_one_more_refusal_never_allows_and_never_softens(
    findings: list[Finding], data: st.DataObject
) -> None:
    strength = [Verdict.ALLOW, Verdict.DEFER, Verdict.DENY]
    place = data.draw(st.integers(0, len(findings) - 1))
    worse = data.draw(st.sampled_from([Verdict.DEFER, Verdict.DENY]))
    if strength.index(worse) < strength.index(findings[place].verdict):
        return
    changed = list(findings)
    changed[place] = replace(findings[place], verdict=worse, reason=ReasonCode.WINDOW_EXPIRED)
    assert strength.index(verdict_of(changed)) >= strength.index(verdict_of(findings))
    assert verdict_of(changed) is not Verdict.ALLOW


MOMENTS = st.none() | st.integers(-200_000, 200_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
QUOTAS = st.none() | st.builds(
    QuotaFact, st.integers(0, 5), st.integers(0, 5), st.just(NOW + timedelta(hours=1))
)
ANY_FACTS = st.builds(
    Facts,
    toggles=st.builds(
        ToggleFacts,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.sampled_from([None, TEMPLATE]),
    ),
    phone=st.sampled_from([None, "+966500000000"]),
    suppression=st.sampled_from([None, OPTED_OUT]),
    last_inbound_at=MOMENTS,
    pauses=st.sampled_from([(), (PAUSED,)]),
    similar_recipients=st.integers(0, 300),
    cool_down_until=MOMENTS,
    day=QUOTAS,
    month=QUOTAS,
    instance=st.sampled_from([None, FACTS.instance, InstanceFact("ins_2", "waha", "close")]),
    instance_wait_seconds=st.floats(),
    pair_wait_seconds=st.floats(),
    clock_offset_seconds=st.floats(),
    unreadable=st.frozensets(st.sampled_from([name.name for name in CheckName]), max_size=2),
)


@given(ANY_FACTS, st.sampled_from(EventType), st.sampled_from(["", ADVERTISEMENT, INTENT.text]))
@settings(max_examples=300, deadline=None)
def test_nothing_is_sent_unless_the_person_wrote_and_everything_could_be_read(
    facts: Facts, event: EventType, text: str
) -> None:
    intent = replace(INTENT, event_type=event, text=text)
    decision = decide(intent, facts, Rules(shadow=SHADOWABLE), NOW, CHECKS)
    if decision.action is Action.SEND:
        assert not facts.unreadable
        assert facts.suppression is None
        assert not facts.pauses
        assert facts.phone
        assert facts.last_inbound_at is not None
        assert NOW - facts.last_inbound_at < timedelta(hours=24)
    assert (decision.verdict is Verdict.ALLOW) == (decision.action in (Action.SEND, Action.RECORD))
