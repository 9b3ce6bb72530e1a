"""The text check: there is something to send, nothing but text, and it fits."""

from datetime import datetime

from policycore.model import Facts, Finding, Intent, Rules
from policycore.reasons import CheckName, ReasonCode, Verdict

# Spaces for `str.strip`, and the characters that take no room on a screen.
_BLANK = (
    " \t\r\n\f\v\u00a0\u00ad\u061c\u180e\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f\u2060\u2066\u2067\u2068\u2069\u3000\ufeff"
)

_TEXT, _ALLOW, _ALLOWED = CheckName.TEXT, Verdict.ALLOW, ReasonCode.ALLOWED
"""Named here, for a member of an Enum is slow to look up and this runs for every message."""


def is_blank(text: str) -> bool:
    """True if a reader would see nothing."""
    return not text.strip(_BLANK)


def check(intent: Intent, facts: Facts, rules: Rules, now: datetime) -> Finding:
    """Deny an empty text, one over `rules.max_text_characters` (Unicode code points), and one that comes with files."""
    used, limit = len(intent.text), rules.max_text_characters
    if used > limit:
        explanation = f"The text has {used} characters; at most {limit} are allowed."
        return Finding(
            CheckName.TEXT, Verdict.DENY, ReasonCode.MESSAGE_TOO_LONG, explanation, limit=limit, used=used
        )
    if intent.attachments:
        explanation = "The message comes with files, which cannot be sent."
        return Finding(
            CheckName.TEXT,
            Verdict.DENY,
            ReasonCode.ATTACHMENTS_NOT_SUPPORTED,
            explanation,
            used=intent.attachments,
        )
    if is_blank(intent.text):
        explanation = "The message has no text."
        return Finding(CheckName.TEXT, Verdict.DENY, ReasonCode.MISSING_MESSAGE_TEXT, explanation)
    return Finding(_TEXT, _ALLOW, _ALLOWED, limit=limit, used=used)
