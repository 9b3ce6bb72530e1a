"""The decision: every check runs, every finding is kept, and one verdict with one reason comes out.

Pure: time and facts are arguments, and the same arguments give the same decision.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from msgspec.structs import replace

from policycore.checks import NamedCheck
from policycore.model import TEMPLATED, Action, Decision, EventType, Facts, Finding, Intent, Rules
from policycore.reasons import PRECEDENCE, SHADOWABLE, CheckName, ReasonCode, Verdict

_PLACE = {name: place for place, name in enumerate(PRECEDENCE)}
_NAMES_OF_OTHERS = frozenset(name.name for name in CheckName if name is not CheckName.TOGGLES)
_check_of = attrgetter("check")
_RECORDED = frozenset({EventType.TEST, EventType.CALL_STARTED, EventType.CHAT_ENDED})
_ALLOW, _CONTENT = Verdict.ALLOW, CheckName.CONTENT
_SENDS_NOTHING = "The event is recorded; it sends nothing."
_NOTHING_IN_THE_WAY = "Nothing stood in the way."


def sends_nothing(intent: Intent, facts: Facts) -> bool:
    """True for an event that is only recorded: tests, starting calls, ended chats, call events whose template is
    off or missing.
    """
    if intent.event_type in TEMPLATED:
        template = facts.toggles.template
        return template is None or not template.enabled
    return intent.event_type in _RECORDED


def decide(
    intent: Intent, facts: Facts, rules: Rules, now: datetime, checks: Sequence[NamedCheck]
) -> Decision:
    """Run `checks` (from `build_checks`, in any order) and weigh their findings.

    `now` is the database's clock. DENY beats DEFER beats ALLOW; the first finding with the winning verdict,
    in the order of `PRECEDENCE`, gives the reason. A check whose facts are unreadable defers, and a check
    that this account runs in shadow is recorded and not counted. An event that sends nothing needs its
    switches and no other check.
    """
    recorded_only = sends_nothing(intent, facts)
    if recorded_only:
        checks, facts = _switches_only(checks, facts)
    findings = _run(checks, intent, facts, rules, now)
    if rules.shadow:
        findings = [_shadowed(finding, rules) for finding in findings]
    refusals = [finding for finding in findings if finding.verdict is not _ALLOW and not finding.shadow]
    if not refusals:
        return _allowed(findings, recorded_only, rules)
    return _refused(findings, refusals, rules, now)


def _run(
    checks: Sequence[NamedCheck], intent: Intent, facts: Facts, rules: Rules, now: datetime
) -> list[Finding]:
    """Every check's finding, in the order of precedence."""
    if facts.unreadable:
        findings = [
            check(intent, facts, rules, now) if name.name not in facts.unreadable else _unreadable(name)
            for name, check in checks
        ]
    else:
        findings = [check(intent, facts, rules, now) for _, check in checks]
    # Checks usually come in this order, and comparing is cheaper than sorting.
    if tuple(map(_check_of, findings)) != PRECEDENCE:
        findings.sort(key=_place)
    return findings


def _switches_only(checks: Sequence[NamedCheck], facts: Facts) -> tuple[Sequence[NamedCheck], Facts]:
    """What an event that sends nothing is decided by: no fact about a person, an instance or a quota
    matters to it.
    """
    if facts.unreadable:
        facts = replace(facts, unreadable=facts.unreadable - _NAMES_OF_OTHERS)
    if facts.unreadable:
        return [pair for pair in checks if pair[0] in (CheckName.TOGGLES, CheckName.FACTS)], facts
    return [pair for pair in checks if pair[0] is CheckName.TOGGLES], facts


def _place(finding: Finding) -> int:
    return _PLACE[finding.check]


def _shadowed(finding: Finding, rules: Rules) -> Finding:
    if finding.check in rules.shadow and finding.check in SHADOWABLE:
        return replace(finding, shadow=True)
    return finding


def _unreadable(name: CheckName) -> Finding:
    explanation = f"What the {name.name.lower()} check needs could not be read."
    return Finding(name, Verdict.DEFER, ReasonCode.FACTS_UNREADABLE, explanation)


def _risk_score(findings: Sequence[Finding]) -> int:
    for finding in findings:
        if finding.check is _CONTENT:
            return finding.used or 0
    return 0


def _allowed(findings: Sequence[Finding], recorded_only: bool, rules: Rules) -> Decision:
    return Decision(
        verdict=Verdict.ALLOW,
        reason=ReasonCode.ALLOWED,
        action=Action.RECORD if recorded_only else Action.SEND,
        findings=tuple(findings),
        risk_score=_risk_score(findings),
        retry_after_seconds=None,
        rules_version=rules.version,
        explanation=_SENDS_NOTHING if recorded_only else _NOTHING_IN_THE_WAY,
    )


def _refused(
    findings: Sequence[Finding], refusals: Sequence[Finding], rules: Rules, now: datetime
) -> Decision:
    deciding = next((finding for finding in refusals if finding.verdict is Verdict.DENY), refusals[0])
    skipped = deciding.reason is ReasonCode.COOL_DOWN_ACTIVE
    return Decision(
        verdict=deciding.verdict,
        reason=deciding.reason,
        action=Action.SKIP if skipped else Action.BLOCK,
        findings=tuple(findings),
        risk_score=_risk_score(findings),
        retry_after_seconds=_retry_after_seconds(deciding, refusals, now),
        rules_version=rules.version,
        explanation=deciding.explanation,
    )


def _retry_after_seconds(deciding: Finding, refusals: Sequence[Finding], now: datetime) -> float | None:
    """Seconds until every refusal has passed, if all say when; else until the deciding one has, if it says
    when.
    """
    times = [finding.passes_at for finding in refusals if finding.passes_at is not None]
    latest = max(times) if len(times) == len(refusals) else deciding.passes_at
    return None if latest is None else max(0.0, (latest - now).total_seconds())
