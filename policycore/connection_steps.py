"""The walk through a 3CX connection: facts -> steps, each with the sentence that says what to do.

Pure. The order is the way of a message: from outside in, through the integration, out to WhatsApp, and back to agents.
"""

from collections.abc import Iterator

from policycore.connection_facts import CheckState, CheckStep, ConnectionFacts, Reached
from policycore.connection_words import sentence
from policycore.model import EventType
from policycore.registry.snapshot import IntegrationConfig

OK, FAILED, SKIPPED = CheckState.OK, CheckState.FAILED, CheckState.SKIPPED

_REMEDIES = {
    "wrong_secret": "remedy_secret",
    "missing_secret": "remedy_secret",
    "query_token_off": "remedy_query",
    "address_not_allowed": "remedy_address",
    "missing_signature": "remedy_signature",
    "malformed_signature": "remedy_signature",
    "wrong_signature": "remedy_signature",
    "stale_timestamp": "remedy_signature",
    "malformed_timestamp": "remedy_signature",
    "signature_replayed": "remedy_signature",
}
_BEFORE_TLS = frozenset({"connect_refused", "connect_timeout", "overloaded"})
_MESSAGE = {
    **dict.fromkeys(("accepted", "sent", "delivered", "read"), ("message_sent", OK)),
    **dict.fromkeys(("rejected", "failed", "lapsed"), ("message_failed", FAILED)),
}
"""What a test message's state comes to; any other is still under way."""


def walk(facts: ConnectionFacts, language: str) -> list[CheckStep]:
    """Every step, in order."""
    steps = [
        *_public(facts, language),
        *_access(facts, language),
        *_sending(facts, language),
        *_destination(facts, language),
        *_tried(facts, language),
    ]
    return steps


def destination_url(integration: IntegrationConfig) -> str:
    """Where customers' messages go; empty if nowhere outside. The address of a messaging trunk is a secret."""
    if integration.destination_kind == "threecx_sms":
        return integration.sms.webhook_url if integration.sms is not None else ""
    return integration.destination_url


def problem(steps: list[CheckStep]) -> str:
    """The sentence of the first step that failed; empty if none did."""
    return next((step.sentence for step in steps if step.state is FAILED), "")


def _public(facts: ConnectionFacts, language: str) -> Iterator[CheckStep]:
    if facts.public is None:
        yield CheckStep("public_address", SKIPPED, sentence(language, "public_not_named"))
        return
    place = sentence(language, "public_place")
    *before, answer = _reached(
        "public", facts.public, place, language, secure=facts.public_url.startswith("https:")
    )
    yield from before
    if answer.state is OK and not facts.public.is_gateway:
        told = sentence(language, "not_gateway", place=place, status=facts.public.http_status)
        answer = CheckStep(answer.name, FAILED, told)
    yield answer


def _reached(name: str, reached: Reached, place: str, language: str, *, secure: bool) -> list[CheckStep]:
    """Name, connection and answer of one address; what comes after a failure is left out."""
    failure = reached.failure

    def say(key: str) -> str:
        return sentence(language, key, place=place, why=failure or f"HTTP {reached.http_status}",
                        status=reached.http_status)  # fmt: skip

    skipped = say("before")
    if failure in ("dns_failed", "address_refused", "bad_request", "no_sender"):
        key = "name_failed" if failure == "dns_failed" else failure
        first = CheckStep(f"{name}_name", SKIPPED if failure == "no_sender" else FAILED, say(key))
        return [first, *(CheckStep(f"{name}_{part}", SKIPPED, skipped) for part in ("tls", "answer"))]
    resolved = CheckStep(f"{name}_name", OK, say("name_ok"))
    if failure == "tls_failed" or failure in _BEFORE_TLS:
        key = failure if failure == "tls_failed" else "connect_failed"
        return [
            resolved,
            CheckStep(f"{name}_tls", FAILED, say(key)),
            CheckStep(f"{name}_answer", SKIPPED, skipped),
        ]
    connected = CheckStep(f"{name}_tls", OK, say("tls_ok" if secure else "tls_plain"))
    answers = not failure and reached.http_status < 500
    answer = CheckStep(
        f"{name}_answer", OK if answers else FAILED, say("answer_ok" if answers else "answer_failed")
    )
    return [resolved, connected, answer]


def _access(facts: ConnectionFacts, language: str) -> Iterator[CheckStep]:
    integration = facts.integration
    names = {"id": integration.integration_id, "account": integration.account_id}
    key = "integration_ok"
    if not integration.enabled or not facts.module_enabled:
        key = "module_off" if integration.enabled else "integration_off"
    state = OK if key == "integration_ok" else FAILED
    yield CheckStep("integration", state, sentence(language, key, **names))
    if not facts.has_secret:
        yield CheckStep("webhook_secret", FAILED, sentence(language, "secret_none", **names))
    elif facts.secret_last_used_at is None:
        # A messaging trunk proves itself by a key of its own, and may be all that this integration has.
        other_way = integration.destination_kind == "threecx_sms"
        state = SKIPPED if other_way else FAILED
        yield CheckStep("webhook_secret", state, sentence(language, "secret_unused"))
    else:
        when = facts.secret_last_used_at.strftime("%Y-%m-%d %H:%M UTC")
        yield CheckStep("webhook_secret", OK, sentence(language, "secret_used", when=when))
    if not facts.turned_away:
        yield CheckStep("turned_away", OK, sentence(language, "turned_away_none"))
        return
    most = max(facts.turned_away, key=lambda each: each.count)
    remedy = sentence(language, _REMEDIES.get(most.reason, "remedy_other"))
    told = sentence(
        language,
        "turned_away",
        count=most.count,
        source=most.source_address or "?",
        reason=most.reason,
        remedy=remedy[:1].lower() + remedy[1:],
    )
    yield CheckStep("turned_away", FAILED, told)


def _sending(facts: ConnectionFacts, language: str) -> Iterator[CheckStep]:
    integration, instance = facts.integration, facts.instance
    if instance is None:
        told = sentence(language, "instance_none", id=integration.integration_id)
        yield CheckStep("default_instance", FAILED, told)
    else:
        key = "instance_open" if instance.state == "open" else "instance_closed"
        key = "instance_held" if key == "instance_open" and facts.hold else key
        told = sentence(
            language,
            key,
            name=instance.name,
            state=instance.state,
            instance=instance.instance_id,
            why=facts.hold,
        )
        yield CheckStep("default_instance", OK if key == "instance_open" else FAILED, told)
    key = "window_open" if facts.window_is_open else "window_closed"
    yield CheckStep("open_window", OK if facts.window_is_open else FAILED, sentence(language, key))
    yield _switches(facts, language)
    yield _templates(facts, language)


def _switches(facts: ConnectionFacts, language: str) -> CheckStep:
    integration = facts.integration
    off = [
        name
        for name, on in (
            ("--outbound", integration.outbound_enabled),
            ("--inbound", integration.inbound_enabled),
            ("--call-events", integration.call_events_enabled),
        )
        if not on
    ]
    if not off:
        return CheckStep("switches", OK, sentence(language, "switches_ok"))
    told = sentence(language, "switches_off", off=", ".join(off), id=integration.integration_id)
    # Call events are off at first and by choice; without replies there is no conversation.
    return CheckStep("switches", SKIPPED if off == ["--call-events"] else FAILED, told)


def _templates(facts: ConnectionFacts, language: str) -> CheckStep:
    integration = facts.integration
    if not integration.call_events_enabled:
        return CheckStep("templates", SKIPPED, sentence(language, "templates_unused"))
    on = sorted(EventType(kind).name.lower() for kind, fact in integration.templates.items() if fact.enabled)
    if on:
        return CheckStep("templates", OK, sentence(language, "templates_on", on=", ".join(on)))
    told = sentence(language, "templates_none", id=integration.integration_id)
    return CheckStep("templates", FAILED, told)


def _destination(facts: ConnectionFacts, language: str) -> Iterator[CheckStep]:
    kind = facts.integration.destination_kind
    if kind in ("none", "sandbox_inbox"):
        key = "destination_none" if kind == "none" else "destination_inside"
        yield CheckStep("destination", SKIPPED, sentence(language, key))
    elif facts.destination is None:
        yield CheckStep("destination", FAILED, sentence(language, "destination_missing"))
    else:
        place = sentence(language, "destination_place")
        secure = destination_url(facts.integration).startswith("https:")
        yield from _reached("destination", facts.destination, place, language, secure=secure)


def _tried(facts: ConnectionFacts, language: str) -> Iterator[CheckStep]:
    yield _tried_message(facts, language)
    event = facts.event
    if event is not None:
        key = "event_taken" if event.taken else "event_refused"
        told = sentence(language, key, status=event.http_status, why=event.explanation)
        yield CheckStep("message_to_agents", OK if event.taken else FAILED, told)
    else:
        key = "event_not_sent" if facts.integration.destination_kind == "threecx_json" else "event_nowhere"
        yield CheckStep("message_to_agents", SKIPPED, sentence(language, key))


def _tried_message(facts: ConnectionFacts, language: str) -> CheckStep:
    name, message = "message_to_customer", facts.message
    if message is None:
        return CheckStep(name, SKIPPED, sentence(language, "phone_not_named"))
    if not message.allowed:
        reason = message.reason.name.lower()
        told = sentence(language, "message_refused", reason=reason, why=message.explanation)
        return CheckStep(name, FAILED, told)
    if not message.sent:
        return CheckStep(name, OK, sentence(language, "message_allowed"))
    key, state = _MESSAGE.get(message.state, ("message_pending", SKIPPED))
    return CheckStep(name, state, sentence(language, key, state=message.state))
