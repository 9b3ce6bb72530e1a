"""Stored inputs: they keep what checks look at and nothing private, and replay to the same decision."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from policycore.checks import build_checks
from policycore.content.load import load_scorer
from policycore.decide import decide
from policycore.decide_inputs import (
    decision_inputs,
    facts_from_json,
    facts_to_json,
    intent_from_json,
    intent_to_json,
    redact,
    replay,
    rules_from_json,
    rules_to_json,
)
from policycore.model import (
    EventType,
    Facts,
    InstanceFact,
    Intent,
    PauseFact,
    QuotaFact,
    Rules,
    ShareFact,
    Source,
    SuppressionFact,
    TemplateFact,
    ToggleFacts,
)
from policycore.phone import mask_phone
from policycore.reasons import CheckName, ReasonCode, Verdict

NOW = datetime(2026, 5, 8, 10, 0, 0, 123456, tzinfo=UTC)
CHECKS = build_checks(load_scorer())
WORDS = st.text(max_size=200)
MOMENTS = st.integers(-200_000, 200_000).map(lambda seconds: NOW + timedelta(seconds=seconds, microseconds=7))
MAYBE = st.none() | MOMENTS
TEXTS = st.sampled_from(
    [
        "",
        "  \u200b",
        "Your ticket was updated.",
        "Get 50% off everything, shop now",
        "خصم على فاتورتك",
        "x" * 5000,
    ]
)

INTENTS = st.builds(
    Intent,
    account_id=st.just("acc_1"),
    source=st.sampled_from(Source),
    caller=st.just("edge"),
    event_type=st.sampled_from(EventType),
    event_type_text=WORDS,
    integration_id=st.sampled_from([None, "int_1"]),
    api_key_id=st.sampled_from([None, "key_1"]),
    test_key=st.booleans(),
    phone_text=st.sampled_from(["", " ", "+966500000000", "12", "anonymous"]) | WORDS,
    text=TEXTS | WORDS,
    purpose_text=st.sampled_from(["", " Support ", "marketing"]) | WORDS,
    conversation_id=WORDS,
    agent_extension=WORDS,
    queue=WORDS,
    call_time=WORDS,
    instance_ref=WORDS,
)
QUOTA = st.builds(QuotaFact, st.integers(0, 5), st.integers(0, 5), MOMENTS)
QUOTAS = st.none() | QUOTA
FACTS = st.builds(
    Facts,
    toggles=st.builds(
        ToggleFacts,
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.booleans(),
        st.none() | st.builds(TemplateFact, st.booleans(), st.just("ar"), st.just(""), st.just("support")),
    ),
    phone=st.sampled_from([None, "+966500000000"]),
    person_id=st.sampled_from([None, "wap_1"]),
    suppression=st.none()
    | st.builds(
        SuppressionFact, st.just("sup_1"), st.just("person"), st.sampled_from(["all", "marketing"]), MOMENTS
    ),
    last_inbound_at=MAYBE,
    pauses=st.lists(
        st.builds(PauseFact, st.just("pau_1"), st.sampled_from(["account", "person"]), WORDS, WORDS, MAYBE),
        max_size=2,
    ).map(tuple),
    similar_recipients=st.integers(0, 300),
    cool_down_until=MAYBE,
    day=QUOTAS,
    month=QUOTAS,
    share=st.none() | st.builds(ShareFact, st.sampled_from(["threecx", "service:x"]), QUOTA, QUOTA),
    instance=st.none()
    | st.builds(InstanceFact, st.just("ins_1"), st.just("waha"), st.sampled_from(["open", "close"]), MAYBE)
    | st.builds(
        InstanceFact,
        st.just("ins_1"),
        st.just("waha"),
        st.just("open"),
        MAYBE,
        st.just("busy"),
        st.floats(0, 99),
    ),
    instance_wait_seconds=st.floats(0, 1e6),
    pair_wait_seconds=st.floats(0, 1e6),
    clock_offset_seconds=st.floats(-1e6, 1e6),
    unreadable=st.frozensets(st.sampled_from(["WINDOW", "QUOTA", "TOGGLES", "other"])),
)
RULES = st.builds(
    Rules,
    version=st.integers(1, 99),
    window=st.timedeltas(timedelta(), timedelta(days=30)),
    window_margin=st.timedeltas(timedelta(), timedelta(hours=1)),
    content_block_score=st.integers(1, 101),
    max_wait=st.timedeltas(timedelta(), timedelta(hours=1)),
    pair_messages_per_minute=st.floats(0.1, 100),
    shadow=st.frozensets(st.sampled_from(CheckName)),
    quota_shares=st.just(()) | st.just((("threecx", 80), ("service:x", 5))),
)


@given(INTENTS, FACTS, RULES)
@settings(max_examples=300, deadline=None)
def test_a_replay_gives_the_identical_decision(intent: Intent, facts: Facts, rules: Rules) -> None:
    decision = decide(intent, facts, rules, NOW, CHECKS)
    stored = json.dumps(decision_inputs(intent, facts, rules, NOW, decision))
    assert replay(json.loads(stored)) == decision


@given(INTENTS)
@settings(max_examples=100, deadline=None)
def test_an_intent_comes_back_redacted(intent: Intent) -> None:
    stored = json.loads(json.dumps(intent_to_json(intent)))
    assert intent_from_json(stored) == redact(intent)
    assert intent_to_json(intent_from_json(stored)) == stored


@given(FACTS)
@settings(max_examples=100, deadline=None)
def test_facts_come_back_with_the_phone_masked(facts: Facts) -> None:
    stored = json.loads(json.dumps(facts_to_json(facts)))
    assert facts_from_json(stored) == replace(facts, phone=facts.phone and mask_phone(facts.phone))
    assert facts_to_json(facts_from_json(stored)) == stored


@given(RULES)
@settings(max_examples=100, deadline=None)
def test_rules_come_back_as_they_were(rules: Rules) -> None:
    assert rules_from_json(json.loads(json.dumps(rules_to_json(rules)))) == rules


def example() -> tuple[Intent, Facts]:
    intent = Intent(
        account_id="acc_1",
        source=Source.THREECX,
        caller="edge",
        event_type=EventType.OUTBOUND_MESSAGE,
        phone_text="00966 50 000 0000",
        text="The secret word is swordfish: 50% off everything, shop now",
        purpose_text="support" + " " * 100_000,
        queue="q" * 100_000,
    )
    facts = Facts(
        phone="+966500000000",
        last_inbound_at=NOW - timedelta(hours=30),
        day=QuotaFact(100, 3, NOW),
        month=QuotaFact(100, 3, NOW),
        instance=InstanceFact("ins_1", "sandbox", "open"),
    )
    return intent, facts


def test_neither_text_nor_phone_is_stored_and_size_is_bounded() -> None:
    intent, facts = example()
    stored = json.dumps(
        decision_inputs(intent, facts, Rules(), NOW, decide(intent, facts, Rules(), NOW, CHECKS))
    )
    assert "swordfish" not in stored
    assert "500000000" not in stored.replace(" ", "")
    assert len(stored) < 2_500


def test_a_decision_can_be_replayed_under_other_rules_and_at_another_time() -> None:
    intent, facts = example()
    decision = decide(intent, facts, Rules(), NOW, CHECKS)
    assert decision.reason is ReasonCode.WINDOW_EXPIRED
    inputs = json.loads(json.dumps(decision_inputs(intent, facts, Rules(), NOW, decision)))
    wider = Rules(version=2, window=timedelta(hours=72))
    assert replay(inputs, rules=wider).reason is ReasonCode.CONTENT_MARKETING
    lenient = replace(wider, content_block_score=101)
    assert replay(inputs, rules=lenient).verdict is Verdict.ALLOW
    assert replay(inputs, rules=lenient, now=NOW + timedelta(hours=72)).reason is ReasonCode.WINDOW_EXPIRED


def test_rules_that_are_kept_once_are_those_of_each_decision() -> None:
    intent, facts = example()
    for version in (1, 2, 1):
        for score in (80, 70):
            rules = Rules(version=version, content_block_score=score, shadow=frozenset({CheckName.RATE}))
            decision = decide(intent, facts, rules, NOW, CHECKS)
            assert decision_inputs(intent, facts, rules, NOW, decision)["rules"] == rules_to_json(rules)


# As a row of the policy log had it before durations, moments and findings were written another way.
STORED = (
    '{"intent":{"account_id":"acc_1","source":"threecx","caller":"edge","event_type":"OUTBOUND_MESSAGE",'
    '"text_characters":12,"text_blank":false,"phone_text":"+9665•••••000","purpose_text":"support"},'
    '"facts":{"toggles":{"module_enabled":true,"is_integration":true,"outbound_enabled":true,'
    '"call_events_enabled":false},"phone":"+9665•••••000","last_inbound_at":"2026-05-08T09:00:00.000007+00:00",'
    '"day":[100,3,"2026-05-08T21:00:00+00:00"],"month":[2000,30,"2026-05-31T21:00:00+00:00"],'
    '"instance":["ins_1","sandbox","open",null]},"rules":{"version":1,"window":86400.0,"window_margin":60.0,'
    '"content_block_score":80,"content_advice_score":50,"max_text_characters":4096,"max_wait":30.0,'
    '"max_clock_offset":60.0,"cool_down":900.0,"pair_messages_per_minute":10.0,"pair_burst":45,"shadow":[]},'
    '"now":"2026-05-08T10:00:00.123456+00:00","content":{"points":0,"features":"reference"}}'
)


def test_stored_inputs_are_written_and_read_as_ever() -> None:
    stored = json.loads(STORED)
    decision = replay(stored)
    assert decision.verdict is Verdict.ALLOW
    intent, facts = intent_from_json(stored["intent"]), facts_from_json(stored["facts"])
    rules, now = rules_from_json(stored["rules"]), datetime.fromisoformat(stored["now"])
    again = decision_inputs(intent, facts, rules, now, decision)
    assert json.dumps(again, ensure_ascii=False, separators=(",", ":")) == STORED
