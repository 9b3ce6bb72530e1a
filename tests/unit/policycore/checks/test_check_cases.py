"""Every check against its table of cases in `cases/<check>.yaml`.

A case changes a request that everything allows, and says what its one check then finds. Times are written as
offsets from `NOW`: `-1h`, `10m`, `0s`.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import Struct

from policycore.checks import CHECKS, build_checks
from policycore.content.load import load_scorer
from policycore.model import (
    EventType,
    Facts,
    Finding,
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
from policycore.reasons import PRECEDENCE, ReasonCode, Verdict

CASES = Path(__file__).parent / "cases"
NOW = datetime(2026, 5, 8, 10, tzinfo=UTC)
ALL_CHECKS = {name.name.lower(): check for name, check in build_checks(load_scorer())}

INTENT: dict[str, Any] = {
    "account_id": "acc_1",
    "source": "threecx",
    "caller": "edge",
    "event_type": "OUTBOUND_MESSAGE",
    "phone_text": "+966500000000",
    "text": "Your support ticket has been updated.",
    "purpose_text": "support",
}
FACTS: dict[str, Any] = {
    "phone": "+966500000000",
    "last_inbound_at": "-1h",
    "day": {"limit": 100, "used": 3, "resets_at": "11h"},
    "month": {"limit": 2000, "used": 30, "resets_at": "563h"},
    "instance": {"instance_id": "ins_1", "backend": "sandbox", "state": "open"},
}
NESTED: dict[str, type] = {
    "toggles": ToggleFacts,
    "template": TemplateFact,
    "suppression": SuppressionFact,
    "day": QuotaFact,
    "month": QuotaFact,
    "instance": InstanceFact,
    "share": ShareFact,
}
DURATION = re.compile(r"(-?\d+)(s|m|h)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}


def duration(text: str) -> timedelta:
    match = DURATION.fullmatch(text)
    assert match, text
    return timedelta(**{UNITS[match.group(2)]: int(match.group(1))})


def value(name: str, written: Any) -> Any:
    if name in NESTED and isinstance(written, dict):
        return build(NESTED[name], written)
    if name == "pauses":
        return tuple(build(PauseFact, pause) for pause in written)
    if name == "unreadable":
        return frozenset(written)
    if isinstance(written, str) and name.endswith(("_at", "until")):
        return NOW + duration(written)
    return written


def build(kind: type, written: dict[str, Any]) -> Any:
    assert issubclass(kind, Struct)
    unknown = written.keys() - set(kind.__struct_fields__)
    assert not unknown, f"{kind.__name__} has no {unknown}"
    return kind(**{name: value(name, one) for name, one in written.items()})


def load(check: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = yaml.safe_load((CASES / f"{check}.yaml").read_text(encoding="utf-8"))
    return cases


ALL_CASES = [
    pytest.param(name, case, id=f"{name}: {case['name']}") for name in ALL_CHECKS for case in load(name)
]


def run(check: str, case: dict[str, Any]) -> Finding:
    intent = {**INTENT, **case.get("intent", {})}
    intent |= {"source": Source(intent["source"]), "event_type": EventType[intent["event_type"]]}
    facts = build(Facts, {**FACTS, **case.get("facts", {})})
    rules: dict[str, Any] = {
        name: duration(rule) if isinstance(rule, str) else rule
        for name, rule in case.get("rules", {}).items()
    }
    return ALL_CHECKS[check](build(Intent, intent), facts, Rules(**rules), NOW)


@pytest.mark.parametrize(("check", "case"), ALL_CASES)
def test_case(check: str, case: dict[str, Any]) -> None:
    finding, expected = run(check, case), dict(case["expect"])
    assert finding.check.name.lower() == check
    assert finding.reason is ReasonCode[expected.pop("reason")]
    assert finding.verdict is Verdict[expected.pop("verdict", "ALLOW")]
    assert not finding.shadow
    assert expected.pop("says", "") in finding.explanation
    assert expected.pop("facts", {}).items() <= dict(finding.facts).items()
    if "passes_at" in expected:
        written = expected.pop("passes_at")
        assert finding.passes_at == (None if written is None else NOW + duration(written))
    for name in [name for name in expected if name in ("limit", "used")]:
        assert getattr(finding, name) == expected.pop(name)
    assert not expected, f"the case expects what is not compared: {expected}"


@pytest.mark.parametrize(("check", "case"), ALL_CASES)
def test_every_refusal_is_one_sentence(check: str, case: dict[str, Any]) -> None:
    finding = run(check, case)
    if finding.verdict is not Verdict.ALLOW:
        assert not finding.explanation[0].islower()
        assert finding.explanation.endswith(".")
        assert "\n" not in finding.explanation
        assert len(finding.explanation) < 400


def test_every_reason_of_the_checks_has_a_case() -> None:
    covered = {ReasonCode[case["expect"]["reason"]] for name in ALL_CHECKS for case in load(name)}
    # More work than is accepted is a matter of admission, and of one instance as well.
    of_admission = {reason for reason in ReasonCode if reason >= ReasonCode.WEBHOOK_RATE_LIMITED}
    of_admission.remove(ReasonCode.OVERLOADED)
    assert covered == set(ReasonCode) - of_admission


def test_checks_stand_in_order_of_precedence() -> None:
    assert tuple(name for name, _ in CHECKS) == PRECEDENCE
    assert tuple(name for name, _ in build_checks(load_scorer())) == PRECEDENCE


def test_without_features_no_text_is_allowed() -> None:
    checks = {name.name: check for name, check in CHECKS}
    intent = {**INTENT, "source": Source.THREECX, "event_type": EventType.OUTBOUND_MESSAGE}
    finding = checks["CONTENT"](build(Intent, intent), build(Facts, FACTS), Rules(), NOW)
    assert (finding.verdict, finding.reason) == (Verdict.DEFER, ReasonCode.FACTS_UNREADABLE)
