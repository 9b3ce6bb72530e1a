"""The content check: a text that reads as marketing is not sent, whatever its purpose says."""

from datetime import datetime

from policycore.content.score import ContentScore, ContentScorer
from policycore.model import TEMPLATED, Facts, Finding, Intent, Rules
from policycore.reasons import CheckName, ReasonCode, Verdict

_CONTENT, _ALLOWS, _ALLOWED = CheckName.CONTENT, Verdict.ALLOW, ReasonCode.ALLOWED
"""Named here, for a member of an Enum is slow to look up and this runs for every message."""


class ContentCheck:
    """The check over one scorer. Built once, when the features have been read; holds nothing else."""

    def __init__(self, score: ContentScorer) -> None:
        self._score = score

    def check(self, intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
        """Deny from `rules.content_block_score` on; from `rules.content_advice_score` on allow and say so.

        `used` of the finding is the score in points of 100. A call event's template is the same text for
        everyone, as it should be: there, the number of similar recipients does not count.
        """
        # A text that is too long is refused for that; reading only what could be sent bounds the work.
        text = intent.text[: rules.max_text_characters]
        similar = 0 if intent.event_type in TEMPLATED else facts.similar_recipients
        scored = self._score(text, similar)
        if scored.points >= rules.content_block_score:
            return _deny(scored, rules.content_block_score)
        return _allow(scored, rules)


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Defer: without the features nothing can be said of a text. `build_checks` puts a `ContentCheck` in
    this place.
    """
    explanation = "The content features are not loaded, so the text cannot be judged."
    return Finding(CheckName.CONTENT, Verdict.DEFER, ReasonCode.FACTS_UNREADABLE, explanation)


def _deny(scored: ContentScore, limit: int) -> Finding:
    features = ", ".join(scored.features)
    return Finding(
        CheckName.CONTENT,
        Verdict.DENY,
        ReasonCode.CONTENT_MARKETING,
        f"The text reads as marketing: {scored.points} points of 100, {limit} block ({features}).",
        limit=limit,
        used=scored.points,
        facts={"features": features},
    )


def _allow(scored: ContentScore, rules: Rules) -> Finding:
    features = ", ".join(scored.features)
    noted = {"features": features} if features else {}
    explanation = ""
    if scored.points >= rules.content_advice_score:
        noted["advice"] = "close to marketing"
        explanation = f"The text comes close to marketing: {scored.points} points of 100 ({features})."
    return Finding(
        _CONTENT,
        _ALLOWS,
        _ALLOWED,
        explanation,
        limit=rules.content_block_score,
        used=scored.points,
        facts=noted,
    )
