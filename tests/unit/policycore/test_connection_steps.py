"""The walk through a 3CX connection: for each thing that can be wrong, the step that says so, in both languages."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from policycore.connection_facts import (
    CheckState,
    CheckStep,
    ConnectionFacts,
    Reached,
    TriedEvent,
    TriedMessage,
    TurnedAway,
)
from policycore.connection_steps import problem, walk
from policycore.connection_words import SENTENCES, sentence, variables
from policycore.model import EventType, TemplateFact
from policycore.reasons import ReasonCode
from policycore.registry.snapshot import InstanceConfig, IntegrationConfig, SecretConfig

NOW = datetime(2026, 1, 15, 9, 30, tzinfo=ZoneInfo("UTC"))
INTEGRATION = IntegrationConfig(
    integration_id="int_1",
    account_id="acc_1",
    name="3CX",
    enabled=True,
    signature_required=False,
    allowed_addresses=(),
    secrets=(SecretConfig("sec_1", "secret", None),),
    default_instance_id="ins_1",
    instance_ids=("ins_1",),
    inbound_enabled=True,
    outbound_enabled=True,
    call_events_enabled=True,
    destination_kind="threecx_json",
    destination_url="https://desk.example.com/events",
    signing_secret="signing",
    country="SA",
    requests_per_minute=60,
    cool_down_seconds=900,
    language="en",
    templates={int(EventType.MISSED_CALL): TemplateFact(True, "en", "Hello", "support")},
)
INSTANCE = InstanceConfig(
    instance_id="ins_1",
    account_id="acc_1",
    name="Support",
    backend="evolution",
    base_url="https://wa.example.com",
    external_name="support",
    api_token="token",
    webhook_secret="",
    verify_token="",
    phone="",
    state="open",
    state_changed_at=NOW,
    replies_only_until=None,
    messages_per_second=1.0,
    burst=5,
)
WELL = ConnectionFacts(
    integration=INTEGRATION,
    module_enabled=True,
    has_secret=True,
    secret_last_used_at=datetime(2026, 1, 15, 9, 0, tzinfo=UTC),
    turned_away=(),
    instance=INSTANCE,
    hold="",
    window_is_open=True,
    public_url="https://gw.example.com",
    public=Reached("", 200, True),
    destination=Reached("", 405),
    message=TriedMessage(True, ReasonCode.ALLOWED, "", True, "accepted"),
    event=TriedEvent(True, 200, ""),
)


def of(steps: list[CheckStep], name: str) -> CheckStep:
    (found,) = [step for step in steps if step.name == name]
    return found


def changed(**fields: Any) -> ConnectionFacts:
    return replace(WELL, integration=replace(INTEGRATION, **fields))


def test_a_connection_that_works() -> None:
    steps = walk(WELL, "en")
    assert {step.state for step in steps} == {CheckState.OK}
    assert problem(steps) == ""
    assert [step.name for step in steps] == [
        "public_name", "public_tls", "public_answer", "integration", "webhook_secret", "turned_away",
        "default_instance", "open_window", "switches", "templates", "destination_name", "destination_tls",
        "destination_answer", "message_to_customer", "message_to_agents",
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize(
    ("facts", "step", "words"),
    [
        (replace(WELL, public=Reached("dns_failed")), "public_name", ""),
        (replace(WELL, public=Reached("address_refused")), "public_name", "HUBGATE_ALLOWED_PRIVATE_RANGES"),
        (replace(WELL, public=Reached("tls_failed")), "public_tls", ""),
        (replace(WELL, public=Reached("connect_refused")), "public_tls", "connect_refused"),
        (replace(WELL, public=Reached("timed_out")), "public_answer", "timed_out"),
        (replace(WELL, public=Reached("", 502)), "public_answer", "502"),
        (replace(WELL, public=Reached("", 200, False)), "public_answer", "200"),
        (changed(enabled=False), "integration", "int_1"),
        (replace(WELL, module_enabled=False), "integration", "acc_1"),
        (replace(WELL, has_secret=False), "webhook_secret", "rotate-secret int_1"),
        (replace(WELL, secret_last_used_at=None), "webhook_secret", "3CX"),
        (
            replace(WELL, turned_away=(TurnedAway("wrong_secret", "203.0.113.7", 3),)),
            "turned_away",
            "203.0.113.7",
        ),
        (
            replace(WELL, turned_away=(TurnedAway("query_token_off", "203.0.113.7", 3),)),
            "turned_away",
            "--query-token",
        ),
        (replace(WELL, instance=None), "default_instance", "--default-instance"),
        (replace(WELL, instance=replace(INSTANCE, state="close")), "default_instance", "probe ins_1"),
        (replace(WELL, hold="It answers nothing."), "default_instance", "It answers nothing."),
        (replace(WELL, window_is_open=False), "open_window", ""),
        (changed(outbound_enabled=False), "switches", "--outbound"),
        (changed(templates={}), "templates", "set-template int_1"),
        (replace(changed(destination_kind="threecx_sms"), destination=None), "destination", "3CX"),
        (replace(WELL, destination=Reached("dns_failed")), "destination_name", ""),
        (replace(WELL, destination=Reached("tls_failed")), "destination_tls", ""),
        (replace(WELL, destination=Reached("connection_lost")), "destination_answer", "connection_lost"),
        (
            replace(WELL, message=TriedMessage(False, ReasonCode.WINDOW_EXPIRED, "It closed.", sent=False)),
            "message_to_customer",
            "window_expired",
        ),
        (
            replace(WELL, message=TriedMessage(True, ReasonCode.ALLOWED, "", True, "rejected")),
            "message_to_customer",
            "rejected",
        ),
        (replace(WELL, event=TriedEvent(False, 500, "It failed.")), "message_to_agents", "500"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(
    facts: ConnectionFacts, step: str, words: str, language: str
) -> None:
    steps = walk(facts, language)
    found = of(steps, step)
    assert found.state is CheckState.FAILED
    assert words in found.sentence
    assert problem(steps) == found.sentence
    assert [each.name for each in steps if each.state is CheckState.FAILED] == [step]


def test_what_lies_behind_a_failure_is_not_judged() -> None:
    steps = walk(replace(WELL, destination=Reached("dns_failed")), "en")
    assert of(steps, "destination_tls").state is of(steps, "destination_answer").state is CheckState.SKIPPED


@pytest.mark.parametrize(
    ("facts", "step"),
    [
        (replace(WELL, public=None), "public_address"),
        (replace(WELL, public=Reached("no_sender")), "public_name"),
        (
            replace(changed(destination_kind="threecx_sms"), secret_last_used_at=None),
            "webhook_secret",
        ),
        (changed(call_events_enabled=False), "switches"),
        (changed(call_events_enabled=False), "templates"),
        (changed(destination_kind="none", destination_url=""), "destination"),
        (changed(destination_kind="sandbox_inbox", destination_url=""), "destination"),
        (replace(WELL, message=None), "message_to_customer"),
        (
            replace(WELL, message=TriedMessage(True, ReasonCode.ALLOWED, "", True, "unknown")),
            "message_to_customer",
        ),
        (replace(WELL, event=None), "message_to_agents"),
    ],
)
def test_what_was_not_tried_is_no_problem(facts: ConnectionFacts, step: str) -> None:
    steps = walk(facts, "en")
    assert of(steps, step).state is CheckState.SKIPPED
    assert problem(steps) == ""


def test_every_sentence_is_in_both_languages_with_the_same_variables() -> None:
    for key, (english, arabic) in SENTENCES.items():
        assert variables(english) == variables(arabic), key
        assert english != arabic, key
        assert any("\u0600" <= letter <= "\u06ff" for letter in arabic), key


def test_a_language_that_is_not_spoken_is_english() -> None:
    assert sentence("xx", "before") == sentence("en", "before")
