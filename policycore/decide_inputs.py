"""The inputs of a decision as plain JSON values, both ways, so that a stored decision can be decided again.

Pure. Neither the text nor the whole phone number is kept: the text is replaced by its length and by what
the content check found in it, the number by its masked form. No check sees the difference, so a replay
gives the identical decision.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

from policycore.checks import build_checks
from policycore.checks.text import is_blank
from policycore.content.score import ContentScore
from policycore.decide import decide
from policycore.model import (
    Decision,
    EventType,
    Facts,
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
from policycore.phone import mask_phone
from policycore.reasons import CheckName

Json = dict[str, Any]

_KEPT_CHARACTERS = 128
_FILLER = "\u2022"
_OPTIONAL_WORDS = (
    "event_type_text",
    "integration_id",
    "api_key_id",
    "phone_text",
    "purpose_text",
    "conversation_id",
    "agent_extension",
    "queue",
    "call_time",
    "instance_ref",
)
_RULE_NAMES = tuple(rule.name for rule in fields(Rules))
_RULE_DURATIONS = ("window", "window_margin", "max_wait", "max_clock_offset", "cool_down")


def decision_inputs(intent: Intent, facts: Facts, rules: Rules, now: datetime, decision: Decision) -> Json:
    """Everything `decision` rests on, ready to be stored as JSON."""
    return {
        "intent": intent_to_json(intent),
        "facts": facts_to_json(facts),
        "rules": rules_to_json(rules),
        "now": now.isoformat(),
        "content": content_to_json(decision),
    }


def replay(inputs: Mapping[str, Any], rules: Rules | None = None, now: datetime | None = None) -> Decision:
    """Decide stored inputs again; with other `rules` or at another time, if given. Raises KeyError,
    ValueError if damaged.
    """
    score = content_from_json(inputs["content"])
    return decide(
        intent_from_json(inputs["intent"]),
        facts_from_json(inputs["facts"]),
        rules or rules_from_json(inputs["rules"]),
        now or datetime.fromisoformat(inputs["now"]),
        build_checks(lambda text, similar_recipients: score),
    )


def content_to_json(decision: Decision) -> Json:
    """What the content check found, from its finding."""
    for finding in decision.findings:
        if finding.check is CheckName.CONTENT and finding.used is not None:
            return {"points": finding.used, "features": finding.facts.get("features", "")}
    return {"points": 0, "features": ""}


def content_from_json(stored: Mapping[str, Any]) -> ContentScore:
    """The score that `content_to_json` kept."""
    features = str(stored["features"])
    return ContentScore(int(stored["points"]), tuple(features.split(", ")) if features else ())


def redact(intent: Intent) -> Intent:
    """The intent as it is kept: the text as filler of its length, the phone masked, free words shortened."""
    return replace(
        intent,
        text=(" " if is_blank(intent.text) else _FILLER) * len(intent.text),
        phone_text=mask_phone(intent.phone_text.strip()[:_KEPT_CHARACTERS]),
        event_type_text=intent.event_type_text.strip()[:_KEPT_CHARACTERS],
        purpose_text=intent.purpose_text.strip()[:_KEPT_CHARACTERS],
        conversation_id=intent.conversation_id[:_KEPT_CHARACTERS],
        agent_extension=intent.agent_extension[:_KEPT_CHARACTERS],
        queue=intent.queue[:_KEPT_CHARACTERS],
        call_time=intent.call_time[:_KEPT_CHARACTERS],
        instance_ref=intent.instance_ref.strip()[:_KEPT_CHARACTERS],
    )


def intent_to_json(intent: Intent) -> Json:
    """The redacted intent; what is empty is left out."""
    kept = redact(intent)
    stored: Json = {
        "account_id": kept.account_id,
        "source": kept.source.value,
        "caller": kept.caller,
        "event_type": kept.event_type.name,
        "text_characters": len(kept.text),
        "text_blank": is_blank(kept.text),
    }
    for name in _OPTIONAL_WORDS:
        if value := getattr(kept, name):
            stored[name] = value
    if kept.test_key:
        stored["test_key"] = True
    return stored


def intent_from_json(stored: Mapping[str, Any]) -> Intent:
    """The redacted intent again: `intent_from_json(intent_to_json(intent)) == redact(intent)`."""
    return Intent(
        account_id=stored["account_id"],
        source=Source(stored["source"]),
        caller=stored["caller"],
        event_type=EventType[stored["event_type"]],
        text=(" " if stored["text_blank"] else _FILLER) * int(stored["text_characters"]),
        test_key=bool(stored.get("test_key", False)),
        **{name: stored[name] for name in _OPTIONAL_WORDS if name in stored},
    )


def facts_to_json(facts: Facts) -> Json:
    """The facts, phone masked; what is absent, empty or zero is left out, for that is what its absence
    means.
    """
    stored: Json = {"toggles": _toggles_to_json(facts.toggles)}
    _put(stored, "phone", facts.phone and mask_phone(facts.phone))
    _put(stored, "person_id", facts.person_id)
    if entry := facts.suppression:
        stored["suppression"] = [
            entry.suppression_id,
            entry.source,
            entry.scope,
            entry.created_at.isoformat(),
        ]
    _put(stored, "last_inbound_at", _time(facts.last_inbound_at))
    _put(stored, "pauses", [[p.pause_id, p.scope, p.author, p.reason, _time(p.until)] for p in facts.pauses])
    _put(stored, "similar_recipients", facts.similar_recipients)
    _put(stored, "cool_down_until", _time(facts.cool_down_until))
    _put(stored, "day", _quota_to_json(facts.day))
    _put(stored, "month", _quota_to_json(facts.month))
    if instance := facts.instance:
        changed = _time(instance.state_changed_at)
        stored["instance"] = [instance.instance_id, instance.backend, instance.state, changed]
    _put(stored, "instance_wait_seconds", facts.instance_wait_seconds)
    _put(stored, "pair_wait_seconds", facts.pair_wait_seconds)
    _put(stored, "clock_offset_seconds", facts.clock_offset_seconds)
    _put(stored, "unreadable", sorted(facts.unreadable))
    return stored


def facts_from_json(stored: Mapping[str, Any]) -> Facts:
    """The facts again, with the phone still masked."""
    return Facts(
        toggles=_toggles_from_json(stored["toggles"]),
        phone=stored.get("phone"),
        person_id=stored.get("person_id"),
        suppression=_suppression_from_json(stored.get("suppression")),
        last_inbound_at=_moment(stored.get("last_inbound_at")),
        pauses=tuple(_pause_from_json(pause) for pause in stored.get("pauses", ())),
        similar_recipients=stored.get("similar_recipients", 0),
        cool_down_until=_moment(stored.get("cool_down_until")),
        day=_quota_from_json(stored.get("day")),
        month=_quota_from_json(stored.get("month")),
        instance=_instance_from_json(stored.get("instance")),
        instance_wait_seconds=stored.get("instance_wait_seconds", 0.0),
        pair_wait_seconds=stored.get("pair_wait_seconds", 0.0),
        clock_offset_seconds=stored.get("clock_offset_seconds", 0.0),
        unreadable=frozenset(stored.get("unreadable", ())),
    )


def rules_to_json(rules: Rules) -> Json:
    """Every rule, durations in seconds: a later default must not change an old decision."""
    stored: Json = {name: getattr(rules, name) for name in _RULE_NAMES}
    for name in _RULE_DURATIONS:
        stored[name] = stored[name].total_seconds()
    stored["shadow"] = sorted(check.name for check in rules.shadow)
    return stored


def rules_from_json(stored: Mapping[str, Any]) -> Rules:
    """The rules again."""
    values = {name: stored[name] for name in _RULE_NAMES}
    for name in _RULE_DURATIONS:
        values[name] = timedelta(seconds=values[name])
    values["shadow"] = frozenset(CheckName[name] for name in values["shadow"])
    return Rules(**values)


def _toggles_to_json(toggles: ToggleFacts) -> Json:
    stored: Json = {
        "module_enabled": toggles.module_enabled,
        "is_integration": toggles.is_integration,
        "outbound_enabled": toggles.outbound_enabled,
        "call_events_enabled": toggles.call_events_enabled,
    }
    if template := toggles.template:
        # The template's text is in the intent already, rendered.
        stored["template"] = [template.enabled, template.language, template.purpose]
    return stored


def _toggles_from_json(stored: Mapping[str, Any]) -> ToggleFacts:
    template = stored.get("template")
    return ToggleFacts(
        module_enabled=stored["module_enabled"],
        is_integration=stored["is_integration"],
        outbound_enabled=stored["outbound_enabled"],
        call_events_enabled=stored["call_events_enabled"],
        template=TemplateFact(template[0], template[1], "", template[2]) if template else None,
    )


def _suppression_from_json(stored: Sequence[Any] | None) -> SuppressionFact | None:
    if not stored:
        return None
    suppression_id, source, scope, created_at = stored
    return SuppressionFact(suppression_id, source, scope, datetime.fromisoformat(created_at))


def _pause_from_json(stored: Sequence[Any]) -> PauseFact:
    pause_id, scope, author, reason, until = stored
    return PauseFact(pause_id, scope, author, reason, _moment(until))


def _instance_from_json(stored: Sequence[Any] | None) -> InstanceFact | None:
    if not stored:
        return None
    instance_id, backend, state, changed = stored
    return InstanceFact(instance_id, backend, state, _moment(changed))


def _quota_to_json(quota: QuotaFact | None) -> list[Any] | None:
    return [quota.limit, quota.used, quota.resets_at.isoformat()] if quota else None


def _quota_from_json(stored: Sequence[Any] | None) -> QuotaFact | None:
    return QuotaFact(stored[0], stored[1], datetime.fromisoformat(stored[2])) if stored else None


def _put(stored: Json, name: str, value: object) -> None:
    if value:
        stored[name] = value


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
