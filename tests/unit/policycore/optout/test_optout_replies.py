"""The three answers: in every language, without marketing, and never taken for opt-outs themselves."""

import re

import pytest

from policycore.optout.match import MatchKind, match
from policycore.optout.replies import reply
from policycore.optout.words import LANGUAGES, WordLists

KINDS = (MatchKind.OPT_OUT, MatchKind.AMBIGUOUS, MatchKind.OPT_IN)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_is_short_plain_and_no_opt_out(
    kind: MatchKind, language: str, optout_words: WordLists
) -> None:
    text = reply(kind, language)
    assert 30 < len(text) <= 160
    assert not re.search(r"https?:|www\.|[%$€£]|\d", text)
    for promotional in (False, True):
        assert match(text, optout_words, promotional, language).kind is MatchKind.NONE
    for sentence in re.split(r"(?<=[.?؟۔।])\s+", text):
        assert match(sentence, optout_words, language_hint=language).kind is MatchKind.NONE, sentence


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_reply_names_the_next_word(language: str) -> None:
    assert "START" in reply(MatchKind.OPT_OUT, language)
    assert "STOP" in reply(MatchKind.AMBIGUOUS, language)
    assert "STOP" in reply(MatchKind.OPT_IN, language)


def test_the_arabic_confirmation_offers_the_arabic_word() -> None:
    assert "ابدأ" in reply(MatchKind.OPT_OUT, "ar")


def test_languages_differ_and_unknown_ones_get_english() -> None:
    for kind in KINDS:
        assert len({reply(kind, language) for language in LANGUAGES}) == len(LANGUAGES)
        assert reply(kind, "xx") == reply(kind, "") == reply(kind, "en")


def test_nothing_answers_no_match() -> None:
    with pytest.raises(ValueError, match="none"):
        reply(MatchKind.NONE, "en")
