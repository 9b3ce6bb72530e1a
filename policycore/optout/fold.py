"""Owns how a customer's text is folded, so that one word written in many ways becomes one word.

Pure. Folding works character by character (each character has one folded form, whatever stands beside it),
which makes it linear and idempotent. The rules for Arabic are those of Lucene's ArabicNormalizer, with the
letters that Persian and Urdu keyboards put in their place; see
https://lucene.apache.org/core/8_5_1/analyzers-common/org/apache/lucene/analysis/ar/ArabicNormalizer.html
"""

import re
import unicodedata

HARD_BREAK = "."
"""The token that stands for the end of a sentence."""

SOFT_BREAK = ","
"""The token that stands for a pause inside a sentence."""

_HARD = frozenset(".!?;\n\r\v\f\x85\u2028\u2029…؟؛۔।॥。、｡‼⁇⁈⁉")
_SOFT = frozenset(',:()[]{}"،«»“”„—–|')
_JOINS = frozenset("'`´’‘ʼʻ′＇")  # "don't" and "dont" are one word

_LETTERS = {
    "ı": "i",  # Turkish: İPTAL, IPTAL and ıptal become one word
    "ٱ": "ا",
    "ى": "ي",
    "ی": "ي",
    "ې": "ي",
    "ک": "ك",
    "ڪ": "ك",
    "ة": "ه",
    "ۃ": "ه",
    "ہ": "ه",
    "ھ": "ه",
    "ە": "ه",
    "ۀ": "ه",
    "\u0640": "",  # tatweel only stretches a word
    "\u115f": "",  # Hangul fillers are letters that nobody sees
    "\u1160": "",
    "\u3164": "",
}

_STRIPPED_MARKS = (
    (0x0300, 0x036F),  # Latin
    (0x0600, 0x06FF),  # Arabic
    (0x0870, 0x08FF),
    (0x1AB0, 0x1AFF),  # Latin, extended
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),  # for symbols: the keycap of an emoji
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFE20, 0xFE2F),
    (0xE0100, 0xE01EF),
)
"""Blocks whose marks carry no meaning here. In Devanagari they do: रोकें is "stop", रुकें is "wait"."""

_HAMZA_AND_TANWEEN = frozenset("\u0654\u0655\u064b")
_REMEMBERED = (range(0x10000), range(0x1D400, 0x1D800), range(0x1F000, 0x1FB00))
"""The basic plane, fancy letters and emoji. The rest is worked out anew, so that memory stays bounded."""

_REPEATS = re.compile(r"([^\d\s.,])\1\1+")


def fold(text: str) -> str:
    """Return the words of `text` in their folded form, one space between words, punctuation and emoji gone.

    Takes any string, also with lone surrogates; never raises. `fold(fold(x)) == fold(x)`.
    """
    return " ".join([token for token in tokens(text) if token not in ".,"])


def tokens(text: str) -> list[str]:
    """Return folded words in order, with `HARD_BREAK` and `SOFT_BREAK` where the punctuation stood."""
    return _split(text.translate(_TABLE))


def fold_keeping_hamza(text: str) -> str:
    """Fold, but keep hamza on its seat and tanween: ابدأ ("start") and أبدا ("never") stay two words."""
    return " ".join([token for token in _split(text.translate(_SPELLING)) if token not in ".,"])


def _split(translated: str) -> list[str]:
    collapsed = _REPEATS.sub(r"\1", translated)
    return collapsed.replace(HARD_BREAK, " . ").replace(SOFT_BREAK, " , ").split()


class _FoldTable(dict[int, str]):
    """Code point to folded form, filled as characters are met."""

    def __init__(self, kept: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._kept = kept

    def __missing__(self, code_point: int) -> str:
        folded = _fold_character(chr(code_point), self._kept)
        if any(code_point in block for block in _REMEMBERED):
            self[code_point] = folded
        return folded


def _fold_character(character: str, kept: frozenset[str]) -> str:
    """Apply the rules until nothing changes: a decomposed character may itself have a folded form."""
    folded = character
    while True:
        decomposed = unicodedata.normalize("NFKD", folded.casefold())
        following = "".join([part if part in kept else _fold_part(part) for part in decomposed])
        if following == folded:
            return folded
        folded = following


def _fold_part(part: str) -> str:
    """Fold one character that has no decomposition: a letter, a digit, a mark, a break or a space."""
    if part in _LETTERS:
        return _LETTERS[part]
    if part in _JOINS:
        return ""
    if part in _HARD:
        return HARD_BREAK
    if part in _SOFT:
        return SOFT_BREAK
    category = unicodedata.category(part)
    if category == "Nd":
        return str(unicodedata.decimal(part))
    if category[0] in "LN":
        return part
    if category[0] == "M":
        return "" if _is_stripped(ord(part)) else part
    if category == "Cf":
        return ""  # bidi and zero-width marks vanish
    return " "  # symbols, spaces and lone surrogates part words


def _is_stripped(code_point: int) -> bool:
    return any(first <= code_point <= last for first, last in _STRIPPED_MARKS)


_TABLE = _FoldTable()
_SPELLING = _FoldTable(_HAMZA_AND_TANWEEN)
