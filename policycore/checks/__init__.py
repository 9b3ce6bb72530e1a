"""The checks of a decision, one policy per file, in the order in which their refusals name the reason.

Pure: a check sees the intent, the facts, the rules and the time it is given, and no other check.
"""

from collections.abc import Callable
from datetime import datetime

from policycore.checks import (
    content,
    cool_down,
    facts,
    instance,
    pause,
    phone,
    purpose,
    quota,
    rate,
    suppression,
    text,
    toggles,
    window,
)
from policycore.content.score import ContentScorer
from policycore.model import Facts, Finding, Intent, Rules
from policycore.reasons import CheckName

Check = Callable[[Intent, Facts, Rules, datetime], Finding]
NamedCheck = tuple[CheckName, Check]

CHECKS: tuple[NamedCheck, ...] = (
    (CheckName.TOGGLES, toggles.check),
    (CheckName.PHONE, phone.check),
    (CheckName.TEXT, text.check),
    (CheckName.PURPOSE, purpose.check),
    (CheckName.SUPPRESSION, suppression.check),
    (CheckName.WINDOW, window.check),
    (CheckName.PAUSE, pause.check),
    (CheckName.CONTENT, content.check),
    (CheckName.COOL_DOWN, cool_down.check),
    (CheckName.QUOTA, quota.check),
    (CheckName.INSTANCE, instance.check),
    (CheckName.RATE, rate.check),
    (CheckName.FACTS, facts.check),
)
"""Every check. The content check stands here without its features, and defers; `build_checks` gives it a
scorer.
"""


def build_checks(score: ContentScorer) -> tuple[NamedCheck, ...]:
    """All checks, with `score` to judge texts by: `policycore.content.load.load_scorer()`, or a recorded
    score.
    """
    judged = content.ContentCheck(score).check
    return tuple((name, judged if name is CheckName.CONTENT else check) for name, check in CHECKS)
