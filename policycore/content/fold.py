"""Folding and cutting of text for the content check: many ways to write a word become one, and a text
becomes tokens.

Pure and linear in the length of the text.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Set

NUMBER, PERCENT, PRICE, LINK, SHORT_LINK, MIXED, EMOJI, OTHER = (
    "#num", "#pct", "#price", "#url", "#short", "#mixed", "#emoji", "#other",
)  # fmt: skip
"""Classes that stand for a token of their kind in a phrase: `#pct off`."""

_ARABIC_LETTERS = {
    "أ": "ا",
    "إ": "ا",
    "آ": "ا",
    "ٱ": "ا",
    "ى": "ي",
    "ی": "ي",
    "ک": "ك",
    "ة": "ه",
    "ہ": "ه",
    "ؤ": "و",
    "ئ": "ي",
}
_DIGITS = {chr(base + digit): str(digit) for base in (0x0660, 0x06F0) for digit in range(10)}
_PUNCTUATION = {"٪": "%", "٫": ".", "٬": ",", "’": "'", "‘": "'", "ـ": ""}
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff"
)
_ARABIC_MARKS = [
    chr(code) for code in (*range(0x0610, 0x061B), *range(0x064B, 0x0660), 0x0670, *range(0x06D6, 0x06DD))
]
TABLE: Mapping[str, str] = {
    **_ARABIC_LETTERS,
    **_DIGITS,
    **_PUNCTUATION,
    **dict.fromkeys(_INVISIBLE, ""),
    **dict.fromkeys(_ARABIC_MARKS, ""),
}
"""A character -> what it becomes. None becomes one that is to be replaced itself, and no capital's small letter is
one: text that was replaced once stays as it is.
"""
_REPLACED = re.compile(f"[{re.escape(''.join(TABLE))}]")

# Single letters with a blank or a dash between them: a word in disguise.
_SPACED_WORD = re.compile(r"(?<![^\W_])[^\W\d_](?:[ .\-*_][^\W\d_]){3,40}(?![^\W_])")
# What stands in the middle of every such word; looking for it first is several times faster.
_SPACED_MIDDLE = re.compile(r"[ .\-*_][^\W\d_][ .\-*_][^\W\d_][ .\-*_]")
_BETWEEN_LETTERS = re.compile(r"[ .\-*_]")

_LINK = r"(?P<url>(?:https?://|www\.)[^\s]{1,2000}|(?:[a-z0-9-]{1,63}\.){1,4}[a-z]{2,12}/[^\s]{1,2000})|"
_OTHERS = (
    r"(?P<word>[^\W\d_]{1,64}+(?:'[^\W\d_]{1,16})?(?![0-9]))"
    r"|(?P<pct>[0-9]{1,9}(?:[.,][0-9]{1,9})?[ ]?%|%[ ]?[0-9]{1,9})"
    r"|(?P<price>[$€£﷼][ ]?[0-9][0-9.,]{0,15}|[0-9][0-9.,]{0,15}[ ]?[$€£﷼])"
    r"|(?P<mixed>(?=[^\W_]{0,64}[0-9])[^\W\d_][^\W_]{1,64})"
    r"|(?P<num>[0-9](?:[0-9.,]{0,30}[0-9])?)"
    r"|(?P<emoji>[\u2600-\u27bf\u2b50\u2b55\U0001f300-\U0001faff])"
)
_TOKEN = re.compile(_OTHERS)
_TOKEN_OR_LINK = re.compile(_LINK + _OTHERS)
_EDGES = ".,:;!?()[]\"'…،؛؟«»“”"
"""What stands around a word and is part of no token there."""
_LONGEST_WORD, _LONGEST_NUMBER = 64, 32
_CLASS = {"pct": PERCENT, "price": PRICE, "mixed": MIXED, "num": NUMBER, "emoji": EMOJI}


def fold(text: str) -> str:
    """Lower case, one width, one form of each Arabic letter, no tatweel, marks or invisible characters."""
    if text.isascii():
        folded = text.lower()
    else:
        replaced = _replace(text)
        normal = unicodedata.normalize("NFKC", replaced)
        folded = normal.lower() if normal == replaced else _replace(normal.lower())
    if _SPACED_MIDDLE.search(folded) is None:
        return folded
    return _SPACED_WORD.sub(lambda match: _BETWEEN_LETTERS.sub("", match.group()), folded)


def _replace(text: str) -> str:
    """`text` with every character of `TABLE` replaced; few of them occur in one text."""
    for character in set(_REPLACED.findall(text)):
        text = text.replace(character, TABLE[character])
    return text


def tokens(folded: str, shorteners: Set[str]) -> Iterator[str]:
    """Cut a folded text into words and classes. `shorteners` are host names whose links hide where they
    lead.
    """
    # Looking for links costs time at every word, and few texts hold any.
    pattern = _TOKEN_OR_LINK if "/" in folded or "www." in folded else _TOKEN
    for match in pattern.finditer(folded):
        kind = match.lastgroup
        if kind == "word":
            yield match.group()
        elif kind == "url":
            yield SHORT_LINK if _host(match.group()) in shorteners else LINK
        else:
            yield _CLASS[kind or "num"]


def cut(folded: str, words: Mapping[str, str], shorteners: Set[str]) -> list[str]:
    """The tokens of a folded text: a class as it is, a word as `words` has it, and any other word as `OTHER`.

    What stands between spaces is nearly always one word or number, and then needs no search for tokens.
    """
    # Only tokens with one of these signs reach over a space.
    if "%" in folded or "$" in folded or "€" in folded or "£" in folded or "﷼" in folded:
        return _cut_slowly(folded, words, shorteners)
    found: list[str] = []
    for piece in folded.split():
        word = words.get(piece)
        if word is None:
            if piece.isalpha() and len(piece) <= _LONGEST_WORD:
                word = OTHER
            else:
                bare = piece.strip(_EDGES)
                word = words.get(bare) or _class_of(bare)
                if word is None:
                    found += _cut_slowly(piece, words, shorteners)
                    continue
        found.append(word)
    return found


def _class_of(bare: str) -> str | None:
    """`OTHER` for one whole word, `NUMBER` for one whole number; None for anything else."""
    if bare.isalpha():
        return OTHER if len(bare) <= _LONGEST_WORD else None
    return NUMBER if bare.isdecimal() and bare.isascii() and len(bare) <= _LONGEST_NUMBER else None


def _cut_slowly(folded: str, words: Mapping[str, str], shorteners: Set[str]) -> list[str]:
    return [token if token[0] == "#" else words.get(token, OTHER) for token in tokens(folded, shorteners)]


def _host(link: str) -> str:
    return link.split("://", 1)[-1].split("/", 1)[0].removeprefix("www.")
