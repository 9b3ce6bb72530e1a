"""The content scorer: a text -> points of 100 and the features that made them.

Pure. One pass over the text; the longest phrase bounds the work per word.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policycore.content.features import (
    CAPITALS,
    EMOJIS,
    EXCLAMATIONS,
    SIMILAR,
    ContentFeatures,
    Tier,
    word_forms,
)
from policycore.content.fold import EMOJI, LINK, MIXED, OTHER, PERCENT, PRICE, SHORT_LINK, fold, tokens

ContentScorer = Callable[[str, int], "ContentScore"]
"""Text and number of similar recipients -> score."""

_FEATURE = ""
_ALONE = {PERCENT: "percentage", PRICE: "price", LINK: "link", SHORT_LINK: "short_link"}
_CLASSES = frozenset({"#num", PERCENT, PRICE, LINK, SHORT_LINK, MIXED, EMOJI})
_FEWEST_LETTERS_FOR_CAPITALS = 12


@dataclass(frozen=True, slots=True)
class ContentScore:
    """`points` from 0 to 100, and the names of the features that were found, heaviest first."""

    points: int
    features: tuple[str, ...]


NOTHING_FOUND = ContentScore(0, ())


class Scorer:
    """Scores texts by one set of features. Call it; it holds no state of its own."""

    def __init__(self, features: ContentFeatures) -> None:
        self._features = features
        self._forms = word_forms({word for phrase in features.phrases for word in phrase})
        self._forms.update({name: name for name in _CLASSES})
        self._root = _trie(features.phrases)

    def __call__(self, text: str, similar_recipients: int) -> ContentScore:
        """Score `text`. `similar_recipients` is how many other persons got nearly the same text within 24
        hours.
        """
        found: dict[str, int] = {}
        forms = self._forms
        cut = [forms.get(token, OTHER) for token in tokens(fold(text), self._features.shorteners)]
        self._find_phrases(cut, found)
        self._measure(text, cut, similar_recipients, found)
        if not found:
            return NOTHING_FOUND
        self._combine(found)
        return self._sum(found)

    def _find_phrases(self, cut: list[str], found: dict[str, int]) -> None:
        """Look for the longest phrase that begins at each token; a phrase uses up its tokens."""
        points, root, place, end = self._features.points, self._root, 0, len(cut)
        while place < end:
            node, ahead, feature, used = root.get(cut[place]), place + 1, None, 1
            if node is None:
                place += 1
                continue
            while node is not None:
                if _FEATURE in node:
                    feature, used = node[_FEATURE], ahead - place
                node = node.get(cut[ahead]) if ahead < end else None
                ahead += 1
            if feature is not None:
                found[feature] = points[feature]
            place += used

    def _measure(self, text: str, cut: list[str], similar_recipients: int, found: dict[str, int]) -> None:
        points = self._features.points
        for token, feature in _ALONE.items():
            if token in cut:
                found.setdefault(feature, points[feature])
        measures = {
            SIMILAR: float(similar_recipients),
            EMOJIS: float(cut.count(EMOJI)),
            EXCLAMATIONS: float(text.count("!")),
            CAPITALS: _capitals(text),
        }
        for tier in self._features.tiers:
            self._grade(tier, measures[tier.feature], found)

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
    upper = sum(map(str.isupper, text))
    if upper < _FEWEST_LETTERS_FOR_CAPITALS:
        return 0.0
    letters = sum(map(str.isalpha, text))
    return upper / letters
