"""The content scorer: a text -> points of 100 and the features that made them.

Pure. One pass over the text; the longest phrase bounds the work per word.
"""

from collections.abc import Callable
from functools import lru_cache
from math import inf
from typing import Any

from msgspec import Struct

from policycore.content.features import (
    CAPITALS,
    EMOJIS,
    EXCLAMATIONS,
    SIMILAR,
    ContentFeatures,
    Tier,
    word_forms,
)
from policycore.content.fold import EMOJI, LINK, PERCENT, PRICE, SHORT_LINK, cut, fold

ContentScorer = Callable[[str, int], "ContentScore"]
"""Text and number of similar recipients -> score."""

_FEATURE = ""
_ALONE = {PERCENT: "percentage", PRICE: "price", LINK: "link", SHORT_LINK: "short_link"}
_COUNTED = frozenset({*_ALONE, EMOJI})
_FEWEST_LETTERS_FOR_CAPITALS = 12
# Bytes of UTF-8 that begin no capital: ASCII but for its capitals, what continues a character, Arabic.
_NO_CAPITALS = bytes(byte for byte in range(0xC0) if not 0x41 <= byte <= 0x5A) + b"\xd8\xd9\xda\xdb"


class ContentScore(Struct, frozen=True):
    """`points` from 0 to 100, and the names of the features that were found, heaviest first."""

    points: int
    features: tuple[str, ...]


NOTHING_FOUND = ContentScore(0, ())


class Scorer:
    """Scores texts by one set of features. Call it; what it remembers of a call changes no other's answer."""

    def __init__(self, features: ContentFeatures) -> None:
        self._features = features
        words = {word for phrase in features.phrases for word in phrase}
        self._words = word_forms(word for word in words if not word.startswith("#"))
        self._root = _trie(features.phrases)
        self._first_step = min((tier.at_least for tier in features.tiers), default=inf)
        # The same few features are found in very many texts.
        self._weigh = lru_cache(maxsize=4_096)(self._weigh_features)

    def __call__(self, text: str, similar_recipients: int) -> ContentScore:
        """Score `text`. `similar_recipients` is how many other persons got nearly the same text within 24
        hours.
        """
        found: dict[str, int] = {}
        parts = cut(fold(text), self._words, self._features.shorteners)
        self._find_phrases(parts, found)
        self._measure(text, parts, similar_recipients, found)
        return self._weigh(frozenset(found.items())) if found else NOTHING_FOUND

    def _find_phrases(self, parts: list[str], found: dict[str, int]) -> None:
        """Look for the longest phrase that begins at each token; a phrase uses up its tokens."""
        points, root, free, end = self._features.points, self._root, 0, len(parts)
        for place, part in enumerate(parts):
            if place < free or part not in root:
                continue
            node, ahead, feature = root[part], place + 1, None
            while node is not None:
                if _FEATURE in node:
                    feature, free = node[_FEATURE], ahead
                node = node.get(parts[ahead]) if ahead < end else None
                ahead += 1
            if feature is not None:
                found[feature] = points[feature]

    def _measure(self, text: str, parts: list[str], similar_recipients: int, found: dict[str, int]) -> None:
        emojis = 0
        if counted := _COUNTED.intersection(parts):
            points = self._features.points
            emojis = parts.count(EMOJI)
            for token, feature in _ALONE.items():
                if token in counted:
                    found.setdefault(feature, points[feature])
        exclamations, capitals = text.count("!"), _capitals(text)
        if max(similar_recipients, emojis, exclamations, capitals) < self._first_step:
            return
        measures = {
            SIMILAR: similar_recipients,
            EMOJIS: emojis,
            EXCLAMATIONS: exclamations,
            CAPITALS: capitals,
        }
        for tier in self._features.tiers:
            self._grade(tier, measures[tier.feature], found)

    def _weigh_features(self, found: frozenset[tuple[str, int]]) -> ContentScore:
        """The score of features and their points."""
        with_combinations = dict(found)
        self._combine(with_combinations)
        return self._sum(with_combinations)

    @staticmethod
    def _grade(tier: Tier, measure: float, found: dict[str, int]) -> None:
        if measure >= tier.at_least:
            found.setdefault(tier.feature, tier.points)

    def _combine(self, found: dict[str, int]) -> None:
        present = frozenset(found)
        for combination in self._features.combinations:
            if all(not group.isdisjoint(present) for group in combination.needs):
                found[combination.name] = combination.points

    def _sum(self, found: dict[str, int]) -> ContentScore:
        raised = sum(points for points in found.values() if points > 0)
        relief = sum(points for points in found.values() if points < 0)
        total = raised + max(relief, -self._features.most_relief)
        names = sorted(found, key=lambda name: (-found[name], name))
        return ContentScore(min(100, max(0, total)), tuple(names))


def _trie(phrases: Any) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for phrase, feature in phrases.items():
        node = root
        for word in phrase:
            node = node.setdefault(word, {})
        node[_FEATURE] = feature
    return root


def _capitals(text: str) -> float:
    """Share of capitals among the letters of a text long enough to tell."""
    if len(text.encode("utf-8", "replace").translate(None, _NO_CAPITALS)) < _FEWEST_LETTERS_FOR_CAPITALS:
        return 0.0
    upper = sum(map(str.isupper, text))
    if upper < _FEWEST_LETTERS_FOR_CAPITALS:
        return 0.0
    letters = sum(map(str.isalpha, text))
    # Roman numerals and letters in circles are capitals, and no letters.
    return upper / letters if letters else 1.0
