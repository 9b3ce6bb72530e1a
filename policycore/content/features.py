"""Content features as data: names, points, phrases by language, combinations, and how they are read from
TOML.

Pure: TOML text in, `ContentFeatures` out. Phrases are written in the data files as people write them; they
are folded and cut exactly as texts are. `#num`, `#pct`, `#price`, `#url`, `#short` and `#mixed` stand for
any number, percentage, price, link, shortened link, and word with digits in it; `(shop|order) now` stands
for two phrases.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass

from policycore.content.fold import fold, tokens

# Arabic writes "and", "so", "with", "to", "like" and "the" onto the word that follows.
_ARABIC_PREFIXES = ("و", "ف", "ب", "ل", "ك", "ال", "وال", "بال", "فال", "كال", "لل", "ولل", "وب", "ول")
_ARABIC_WORD = re.compile(r"[\u0621-\u064a]{3,}")
_CHOICE = re.compile(r"\(([^()]*)\)")
_CLASS = re.compile(r"#(?:num|pct|price|url|short|mixed|emoji)")


CAPITALS, EMOJIS, EXCLAMATIONS, SIMILAR = "capitals", "emoji", "exclamations", "similar_recipients"
"""What a tier can grade: the share of capitals, the counts of the others."""

_MEASURES = frozenset({CAPITALS, EMOJIS, EXCLAMATIONS, SIMILAR})


class FeatureError(ValueError):
    """A data file contradicts itself; the text says where."""


@dataclass(frozen=True, slots=True)
class Combination:
    """Features that mean more together: `points` are added if one of each group in `needs` is present."""

    name: str
    points: int
    needs: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Tier:
    """Points for a measure (capitals, emoji, similar recipients) that has reached `at_least`."""

    feature: str
    at_least: float
    points: int


@dataclass(frozen=True, slots=True)
class ContentFeatures:
    """Everything a scorer needs. `phrases` maps a phrase's tokens to the feature that it shows."""

    points: Mapping[str, int]
    most_relief: int
    phrases: Mapping[tuple[str, ...], str]
    combinations: tuple[Combination, ...]
    tiers: tuple[Tier, ...]
    shorteners: frozenset[str]


def parse_features(weights: str, phrase_files: Iterable[str]) -> ContentFeatures:
    """Read `features.toml` and one phrase file per language. Raises `FeatureError` and
    `tomllib.TOMLDecodeError`.
    """
    table = tomllib.loads(weights)
    points = {name: int(entry["points"]) for name, entry in table["feature"].items()}
    shorteners = frozenset(table["shorteners"]["hosts"])
    phrases: dict[tuple[str, ...], str] = {}
    for text in phrase_files:
        _add_phrases(phrases, tomllib.loads(text)["phrases"], points, shorteners)
    if unknown := table["tier"].keys() - _MEASURES:
        raise FeatureError(f"tiers: nothing measures {', '.join(sorted(unknown))}")
    known = points.keys() | table["tier"].keys()
    combinations = tuple(_combination(name, entry, known) for name, entry in table["combination"].items())
    tiers = tuple(
        Tier(name, float(step["at_least"]), int(step["points"]))
        for name, steps in table["tier"].items()
        for step in sorted(steps, key=lambda step: -step["at_least"])
    )
    return ContentFeatures(points, int(table["most_relief"]), phrases, combinations, tiers, shorteners)


def _combination(name: str, entry: Mapping[str, object], known: Set[str]) -> Combination:
    needs, value = entry["needs"], entry["points"]
    if not isinstance(needs, list) or not isinstance(value, int):
        raise FeatureError(f"combination {name}: `needs` is a list of lists, `points` a number")
    for feature in (feature for group in needs for feature in group):
        if feature not in known:
            raise FeatureError(f"combination {name}: there is no feature {feature}")
    return Combination(name, value, tuple(frozenset(group) for group in needs))


def _add_phrases(
    phrases: dict[tuple[str, ...], str],
    by_feature: Mapping[str, list[str]],
    points: Mapping[str, int],
    shorteners: frozenset[str],
) -> None:
    for feature, written in by_feature.items():
        if feature not in points:
            raise FeatureError(f"phrases: there is no feature {feature}")
        for phrase in (spelled for pattern in written for spelled in _alternatives(pattern)):
            key = _cut(phrase, shorteners)
            if not key:
                raise FeatureError(f"phrases of {feature}: {phrase!r} holds no word")
            if phrases.setdefault(key, feature) != feature:
                raise FeatureError(f"phrase {phrase!r} stands under {feature} and {phrases[key]}")


def _alternatives(pattern: str) -> Iterator[str]:
    """Spell out `(shop|order) now` as `shop now` and `order now`; an empty one leaves the word out."""
    choice = _CHOICE.search(pattern)
    if choice is None:
        yield pattern
        return
    for word in choice.group(1).split("|"):
        yield from _alternatives(pattern[: choice.start()] + word + pattern[choice.end() :])


def _cut(phrase: str, shorteners: frozenset[str]) -> tuple[str, ...]:
    cut: list[str] = []
    for part in phrase.split():
        cut.extend([part] if _CLASS.fullmatch(part) else tokens(fold(part), shorteners))
    return tuple(cut)


def word_forms(words: Iterable[str]) -> dict[str, str]:
    """Every form in which a known word may be met -> the word: itself, and Arabic words with what is
    written onto them.
    """
    known = set(words)
    forms = {word: word for word in known}
    for word in sorted(known):
        if _ARABIC_WORD.fullmatch(word):
            for prefix in ("و", "ف") if word.startswith("ال") else _ARABIC_PREFIXES:
                forms.setdefault(prefix + word, word)
    return forms
