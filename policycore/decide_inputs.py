"""The inputs of a decision as plain JSON values, both ways, so that a stored decision can be decided again.

Pure. Neither the text nor the whole phone number is kept: the text is replaced by its length and by what
the content check found in it, the number by its masked form. No check sees the difference, so a replay
gives the identical decision.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

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
    ShareFact,
    Source,
    SuppressionFact,
    TemplateFact,
    ToggleFacts,
    iso,
)
from policycore.phone import mask_phone
from policycore.reasons import CheckName

Json = dict[str, Any]

_KEPT_CHARACTERS = 128
_FILLER = "\u2022"


def _whole(text: str | None) -> str | None:
    return text


def _cut(text: str) -> str:
    return text[:_KEPT_CHARACTERS]


def _stripped(text: str) -> str:
    return text.strip()[:_KEPT_CHARACTERS]


def _masked(text: str) -> str:
    return mask_phone(text.strip()[:_KEPT_CHARACTERS])


_OPTIONAL_WORDS: dict[str, Callable[[Any], str | None]] = {
    "event_type_text": _stripped,
    "integration_id": _whole,
    "api_key_id": _whole,
    "phone_text": _masked,
    "purpose_text": _stripped,
    "conversation_id": _cut,
    "agent_extension": _cut,
    "queue": _cut,
    "call_time": _cut,
    "instance_ref": _stripped,
}
"""Words of an intent that may be empty, and how each is shortened to be kept."""

_EVENT_NAMES = {event: event.name for event in EventType}
_CONTENT = CheckName.CONTENT
_RULE_NAMES = Rules.__struct_fields__
_RULE_DURATIONS = ("window", "window_margin", "max_wait", "max_clock_offset", "cool_down")


def decision_inputs(intent: Intent, facts: Facts, rules: Rules, now: datetime, decision: Decision) -> Json:
    """Everything `decision` rests on, ready to be stored as JSON."""
    return {
        "intent": intent_to_json(intent),
        "facts": facts_to_json(facts),
        "rules": _stored_once(rules),
        "now": iso(now),
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
        if finding.check is _CONTENT and finding.used is not None:
            return {"points": finding.used, "features": finding.facts.get("features", "")}
    return {"points": 0, "features": ""}


def content_from_json(stored: Mapping[str, Any]) -> ContentScore:
    """The score that `content_to_json` kept."""
    features = str(stored["features"])
    return ContentScore(int(stored["points"]), tuple(features.split(", ")) if features else ())


def redact(intent: Intent) -> Intent:
    """The intent as it is kept: the text as filler of its length, the phone masked, free words shortened."""
    kept = {name: shorten(getattr(intent, name)) for name, shorten in _OPTIONAL_WORDS.items()}
    return replace(intent, text=(" " if is_blank(intent.text) else _FILLER) * len(intent.text), **kept)


def intent_to_json(intent: Intent) -> Json:
    """The redacted intent; what is empty is left out."""
    stored: Json = {
        "account_id": intent.account_id,
        "source": intent.source.value,
        "caller": intent.caller,
        "event_type": _EVENT_NAMES[intent.event_type],
        "text_characters": len(intent.text),
        "text_blank": is_blank(intent.text),
    }
    for name, shorten in _OPTIONAL_WORDS.items():
        if (written := getattr(intent, name)) and (kept := shorten(written)):
            stored[name] = kept
    if intent.test_key:
        stored["test_key"] = True
    if intent.unanswered:
        stored["unanswered"] = True
    if intent.attachments:
        stored["attachments"] = intent.attachments
    if intent.purpose_defaulted:
        stored["purpose_defaulted"] = True
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
        unanswered=bool(stored.get("unanswered", False)),
        attachments=int(stored.get("attachments", 0)),
        purpose_defaulted=bool(stored.get("purpose_defaulted", False)),
        **{name: stored[name] for name in _OPTIONAL_WORDS if name in stored},
    )


def facts_to_json(facts: Facts) -> Json:
    """The facts, phone masked; what is absent, empty or zero is left out, for that is what its absence
    means.
    """
    stored: Json = {"toggles": _toggles_to_json(facts.toggles)}
    if facts.phone:
        stored["phone"] = mask_phone(facts.phone)
    if facts.person_id:
        stored["person_id"] = facts.person_id
    if entry := facts.suppression:
        stored["suppression"] = [entry.suppression_id, entry.source, entry.scope, iso(entry.created_at)]
    if facts.last_inbound_at:
        stored["last_inbound_at"] = iso(facts.last_inbound_at)
    if facts.pauses:
        stored["pauses"] = [[p.pause_id, p.scope, p.author, p.reason, _time(p.until)] for p in facts.pauses]
    if facts.similar_recipients:
        stored["similar_recipients"] = facts.similar_recipients
    if facts.cool_down_until:
        stored["cool_down_until"] = iso(facts.cool_down_until)
    _put_quotas(stored, facts)
    if instance := facts.instance:
        stored["instance"] = _instance_to_json(instance)
    _put_waits(stored, facts)
    if facts.unreadable:
        stored["unreadable"] = sorted(facts.unreadable)
    return stored


def _instance_to_json(instance: InstanceFact) -> list[Any]:
    changed = _time(instance.state_changed_at)
    stored = [instance.instance_id, instance.backend, instance.state, changed]
    return [*stored, instance.hold, instance.hold_seconds] if instance.hold else stored


def _put_quotas(stored: Json, facts: Facts) -> None:
    if day := facts.day:
        stored["day"] = [day.limit, day.used, iso(day.resets_at)]
    if month := facts.month:
        stored["month"] = [month.limit, month.used, iso(month.resets_at)]
    if share := facts.share:
        quotas = [[each.limit, each.used, iso(each.resets_at)] for each in (share.day, share.month)]
        stored["share"] = [share.caller, *quotas]


def _put_waits(stored: Json, facts: Facts) -> None:
    if facts.instance_wait_seconds:
        stored["instance_wait_seconds"] = facts.instance_wait_seconds
    if facts.pair_wait_seconds:
        stored["pair_wait_seconds"] = facts.pair_wait_seconds
    if facts.clock_offset_seconds:
        stored["clock_offset_seconds"] = facts.clock_offset_seconds


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
        share=_share_from_json(stored.get("share")),
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
    if not rules.quota_shares:
        del stored["quota_shares"]
    return stored


_stored_once = lru_cache(maxsize=1_024)(rules_to_json)
"""For decisions: an account's rules are the same for very many. What it returns is shared; nobody may change it."""


def rules_from_json(stored: Mapping[str, Any]) -> Rules:
    """The rules again."""
    # Rules from before there were shares name none.
    values = {name: stored[name] for name in _RULE_NAMES if name != "quota_shares"}
    values["quota_shares"] = tuple((caller, percent) for caller, percent in stored.get("quota_shares", ()))
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
    instance_id, backend, state, changed, *hold = stored
    return InstanceFact(instance_id, backend, state, _moment(changed), *hold)


def _quota_from_json(stored: Sequence[Any] | None) -> QuotaFact | None:
    return QuotaFact(stored[0], stored[1], datetime.fromisoformat(stored[2])) if stored else None


def _share_from_json(stored: Sequence[Any] | None) -> ShareFact | None:
    if not stored:
        return None
    caller, day, month = stored
    return ShareFact(
        caller,
        QuotaFact(day[0], day[1], datetime.fromisoformat(day[2])),
        QuotaFact(month[0], month[1], datetime.fromisoformat(month[2])),
    )


def _time(moment: datetime | None) -> str | None:
    return iso(moment) if moment else None


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
