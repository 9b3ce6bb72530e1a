"""`decide` and the reference say the same of thousands of drawn cases, refusal by refusal."""

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from policycore.checks import build_checks
from policycore.content.score import ContentScore
from policycore.decide import decide
from policycore.model import (
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
from policycore.reasons import CheckName, ReasonCode
from policycore.reasons import Verdict as Says
from simulate.reference import CHECKS, PAUSES, REPLIES, TEMPLATED, Case, Verdict, expected

NOW = datetime(2026, 3, 14, 9, 0, tzinfo=UTC)
_CASES = 6_000
_WINDOW = 24 * 3600 - 60.0


def draw(random: Random) -> Case:
    """A case in which most things are in order, and a few at, just before or just beyond their borders."""
    case = Case(event=random.choice([each.name for each in EventType]))
    if case.event in TEMPLATED:
        case.template_on = random.choice((True, True, True, False, None))
    wrong = random.sample([each.name for each in fields(Case)], random.choice((0, 1, 1, 2, 2, 3, 5)))
    for name in wrong:
        if name in _DRAWN:
            setattr(case, name, _DRAWN[name](random))
    return case


def _quota(random: Random) -> tuple[int, int, float] | None:
    return random.choice((None, (5, 4, 60.0), (5, 5, 60.0), (5, 6, 90_000.0), (0, 0, -3.0)))


def _wait(random: Random) -> float:
    return random.choice((0.0, 29.75, 30.0, 30.25, 45.0, 400.0))


_DRAWN: dict[str, Callable[[Random], object]] = {
    "through_threecx": lambda random: False,
    "module": lambda random: False,
    "replies_on": lambda random: False,
    "calls_on": lambda random: False,
    "template_purpose": lambda random: random.choice(("Marketing", " SUPPORT ", "", "internal_team")),
    "phone_written": lambda random: random.choice(("", "  ", "12")),
    "phone_valid": lambda random: False,
    "text": lambda random: random.choice(("", " \n", "x" * 4096, "x" * 4097)),
    "files": lambda random: random.randint(0, 2),
    "purpose": lambda random: random.choice(("", " Support", "marketing", "unknown", "OPERATIONAL")),
    "suppressed_scope": lambda random: random.choice(("all", "marketing")),
    "last_inbound": lambda random: random.choice(
        (None, 500.0, -_WINDOW, 0.5 - _WINDOW, -0.5 - _WINDOW, -9e5)
    ),
    "pauses": lambda random: [
        (random.choice(PAUSES), random.choice((None, -1.0, 0.0, 10.0, 900.0)))
        for _ in range(random.randint(1, 3))
    ],
    "score": lambda random: random.choice((49, 50, 79, 80, 100)),
    "cool_down": lambda random: random.choice((-1.0, 0.0, 0.5, 600.0)),
    "day": _quota,
    "month": _quota,
    "instance_state": lambda random: random.choice((None, "close", "connecting")),
    "instance_is_sandbox": lambda random: True,
    "test_key": lambda random: True,
    "instance_wait": _wait,
    "pair_wait": _wait,
    "clock_offset": lambda random: random.choice((-60.0, 60.0, 60.1, -61.0)),
    "unreadable": lambda random: set(random.sample((*CHECKS, "SOMETHING"), random.randint(1, 2))),
    "watching": lambda random: set(random.sample(CHECKS, 3)),
}


def _decided(case: Case) -> Verdict:
    """What the product decides of a case."""
    score = ContentScore(case.score, ())
    checks = build_checks(lambda text, similar_recipients: score)
    rules = Rules(shadow=frozenset(CheckName[name] for name in case.watching))
    decision = decide(_intent(case), _facts(case), rules, NOW, checks)
    return Verdict(
        decision.verdict.name,
        decision.reason.name,
        decision.action.name,
        [(each.check.name, each.reason.name) for each in decision.findings if each.verdict is not Says.ALLOW],
        decision.retry_after_seconds,
    )


def _intent(case: Case) -> Intent:
    return Intent(
        account_id="acc_1",
        source=Source.THREECX if case.through_threecx else Source.SEND_API,
        caller="edge",
        event_type=EventType[case.event],
        phone_text=case.phone_written,
        text=case.text,
        purpose_text=case.purpose,
        test_key=case.test_key,
        attachments=case.files,
    )


def _facts(case: Case) -> Facts:
    template = None
    if case.template_on is not None:
        template = TemplateFact(case.template_on, "en", "", case.template_purpose)
    suppression = None
    if case.suppressed_scope is not None:
        suppression = SuppressionFact("sup_1", "person", case.suppressed_scope, NOW)
    instance = None
    if case.instance_state is not None:
        back_end = "sandbox" if case.instance_is_sandbox else "waha"
        instance = InstanceFact("ins_1", back_end, case.instance_state)
    return Facts(
        toggles=ToggleFacts(case.module, case.through_threecx, case.replies_on, case.calls_on, template),
        phone=case.phone_written if case.phone_valid and case.phone_written.strip() else None,
        person_id="per_1",
        suppression=suppression,
        last_inbound_at=_moment(case.last_inbound),
        pauses=tuple(PauseFact("pau_1", scope, "ops", "", _moment(until)) for scope, until in case.pauses),
        cool_down_until=_moment(case.cool_down),
        day=_quota_fact(case.day),
        month=_quota_fact(case.month),
        instance=instance,
        instance_wait_seconds=case.instance_wait,
        pair_wait_seconds=case.pair_wait,
        clock_offset_seconds=case.clock_offset,
        unreadable=frozenset(case.unreadable),
    )


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else NOW + timedelta(seconds=seconds)


def _quota_fact(quota: tuple[int, int, float] | None) -> QuotaFact | None:
    return None if quota is None else QuotaFact(quota[0], quota[1], NOW + timedelta(seconds=quota[2]))


@pytest.mark.parametrize("part", range(4))
def test_decide_says_what_the_reference_says(part: int) -> None:
    random = Random(f"decide {part}")
    reasons: Counter[str] = Counter()
    for _ in range(_CASES):
        case = draw(random)
        wanted, found = expected(case), _decided(case)
        assert found == wanted, case
        reasons.update([wanted.reason])
    assert {each.name for each in EventType} > REPLIES
    met = {reason.name for reason in ReasonCode if reason.value < ReasonCode.WEBHOOK_RATE_LIMITED}
    assert set(reasons) == met, "every reason of a decision is met"
