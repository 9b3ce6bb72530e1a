"""Plain text -> text that WhatsApp shows as it was typed.

Pure. WhatsApp shows `*a*`, `_a_`, `~a~` and backticks as formatting where the marks stand at the edges of words
(https://faq.whatsapp.com/539178204879377). A phone system's chat is plain, so there such text means itself. A pair that
would format is written with look-alikes, which never do; single marks, sums and links stay as they are.
"""

import re

_ALIKE = str.maketrans({"*": "\u2217", "_": "\u02cd", "~": "\u223c", "`": "\u02cb"})
_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\S+")
_FENCE = re.compile(r"```.+?```|`[^`\n]+`", re.DOTALL)
# A mark opens after a gap and before a letter, and closes after a letter and before a gap, on one line.
_PAIR = re.compile(r"(?<![^\W_])([*_~])(?=\S)([^\n]{0,1000}?\S)\1(?![^\W_])")
_LONGEST = 8_192
"""More than any message may have."""

_NESTED = 3
"""Marks within marks, each kind once."""


def as_typed(text: str) -> str:
    """The text with no accidental formatting. What a link or an address holds is left alone."""
    if not any(mark in text for mark in "*_~`"):
        return text
    head, tail = text[:_LONGEST], text[_LONGEST:]
    pieces, end = [], 0
    for link in _LINK.finditer(head):
        pieces += [_unmarked(head[end : link.start()]), link[0]]
        end = link.end()
    return "".join((*pieces, _unmarked(head[end:]), tail))


def _unmarked(text: str) -> str:
    text = _FENCE.sub(lambda found: found[0].translate(_ALIKE), text)
    for _ in range(_NESTED):
        text = _PAIR.sub(
            lambda found: f"{found[1].translate(_ALIKE)}{found[2]}{found[1].translate(_ALIKE)}", text
        )
    return text
