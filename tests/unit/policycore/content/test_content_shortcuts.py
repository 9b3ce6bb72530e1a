"""What the content check does in a short way gives what the long way gives."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from policycore.content import fold as folding
from policycore.content.features import word_forms
from policycore.content.fold import OTHER, TABLE, cut, fold, tokens
from policycore.content.load import LANGUAGES, load_features
from policycore.content.score import _capitals

CORPUS = Path(__file__).parent / "corpus"
FEATURES = load_features()
WORDS = word_forms(word for phrase in FEATURES.phrases for word in phrase if not word.startswith("#"))
PIECES = [
    "%", " % ", "$", "€ ", "﷼", "50", "50%", "٢٥٪", "9.99", "1,000.", "9" * 40, "x" * 70, "a1", "1a", "2kg",
    "INV-12",
    "https://bit.ly/x", "www.shop.example", "a.b/c", "bit.ly/y", "#num", "#pct", "#", "_", "-", ".", ",", "'", "’",
    "don't", "shop now", "(offer)", "\"free\"", "خصم", "وخصم", "أسعار", "ـ", "\u0651", "\u200b", "🔥", "❶", "²", "Ⅷ",
    "५",
    "S A L E", "s.a.l.e", " a b c ", "İ", "ß", "𝐒𝐀𝐋𝐄", "ＳＡＬＥ", "\ud800", "é", "E\u0301", "\n", "\u00a0",
    "\x1c", " ",
    "!", "؟", "«اتصل»",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from([*PIECES, *sorted(WORDS)[::7]]) | st.text(max_size=6), max_size=30).flatmap(
    lambda parts: st.sampled_from(["", " "]).map(lambda between: between.join(parts))
)


def corpus() -> Iterator[str]:
    for language in LANGUAGES:
        for texts in yaml.safe_load((CORPUS / f"{language}.yaml").read_text(encoding="utf-8")).values():
            yield from texts


def cut_in_full(folded: str) -> list[str]:
    """Every token looked for from the left, as phrases of the data files are cut."""
    return [
        token if token.startswith("#") else WORDS.get(token, OTHER)
        for token in tokens(folded, FEATURES.shorteners)
    ]


def share_in_full(text: str) -> float:
    upper, letters = sum(map(str.isupper, text)), sum(map(str.isalpha, text))
    if upper < 12:
        return 0.0
    return upper / letters if letters else 1.0


@given(TEXTS)
@settings(max_examples=1_500, deadline=None)
def test_cutting_by_pieces_finds_the_same_tokens(text: str) -> None:
    folded = fold(text)
    assert cut(folded, WORDS, FEATURES.shorteners) == cut_in_full(folded)
    assert cut(text, WORDS, FEATURES.shorteners) == cut_in_full(text)


def test_cutting_by_pieces_finds_the_same_tokens_in_the_corpus() -> None:
    for text in corpus():
        folded = fold(text)
        assert cut(folded, WORDS, FEATURES.shorteners) == cut_in_full(folded)


@given(TEXTS | st.text(alphabet="ABC𝐒ΣЖab ا١é\u2026", max_size=40))
@settings(max_examples=500, deadline=None)
def test_capitals_are_counted_wherever_there_may_be_enough(text: str) -> None:
    assert _capitals(text) == share_in_full(text)


def test_no_byte_that_is_skipped_begins_a_capital() -> None:
    capitals = [character for code in range(sys.maxunicode) if (character := chr(code)).isupper()]
    assert all(_capitals(character * 12) for character in capitals)


@given(TEXTS)
@settings(max_examples=500, deadline=None)
def test_words_in_disguise_are_found_by_their_middle(text: str) -> None:
    folded = text.lower()
    if folding._SPACED_WORD.search(folded):
        assert folding._SPACED_MIDDLE.search(folded)


def test_what_was_replaced_once_stays_as_it_is() -> None:
    """One pass is enough where normalising changed nothing."""
    becomes = "".join(TABLE.values())
    assert not TABLE.keys() & set(becomes)
    lowered = {
        character
        for code in range(sys.maxunicode)
        for character in chr(code).lower()
        if chr(code) != character
    }
    assert not TABLE.keys() & lowered


@pytest.mark.parametrize("text", ["‘a’ ـ ۱٫۵٪", "أإآٱىیکةہؤئ", "خَصْمٌ\u200d"])
def test_every_character_of_the_table_is_replaced(text: str) -> None:
    assert not TABLE.keys() & set(fold(text))
