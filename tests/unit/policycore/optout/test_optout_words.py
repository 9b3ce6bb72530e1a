"""The data files: what a good one holds, and what a bad one is told."""

from pathlib import Path

import pytest

from policycore.optout.match import MatchKind, match
from policycore.optout.patterns import Compiled, Element, PatternError, PhraseMachine, expand, parse
from policycore.optout.words import (
    LANGUAGES,
    WordListError,
    WordLists,
    build,
    load,
    packaged_folder,
    parse_list,
)


def test_packaged_lists_are_found_for_every_language(optout_words: WordLists) -> None:
    languages = {rule.language for rule in optout_words.rules}
    assert languages == set(LANGUAGES)
    for language in LANGUAGES:
        text = packaged_folder().joinpath(f"{language}.toml").read_text(encoding="utf-8")
        assert "Awaiting sign-off by a native speaker" in text
        parsed = parse_list(language, text)
        assert parsed.tables["words"]
        assert parsed.tables["phrases"]
        assert parsed.tables["ambiguous"]
        assert parsed.tables["start"]


def test_no_start_word_is_an_affirmation(optout_words: WordLists) -> None:
    affirmations = {"yes", "y", "ok", "نعم", "جی", "हाँ", "oui", "si", "sim", "evet", "ja", "continue"}
    assert affirmations.isdisjoint(optout_words.start)


def test_every_stand_alone_word_opts_out_in_its_language(optout_words: WordLists) -> None:
    for words, rules in optout_words.entries.items():
        for rule in rules:
            if ".word." in rule.name:
                found = match(" ".join(words), optout_words, language_hint=rule.language)
                assert found.kind in (MatchKind.OPT_OUT, MatchKind.OPT_IN), (words, rule)


def test_no_sequence_is_both_start_and_opt_out(optout_words: WordLists) -> None:
    opting_out = {" ".join(words) for words, rules in optout_words.entries.items() if rules}
    assert opting_out.isdisjoint(optout_words.start)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"en\.toml"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("language = ", "en.toml"),
        ('language = "de"', "another language"),
        ('language = "en"\nsurprise = 1', "surprise"),
        ('language = "en"\nwords = ["stop"]', "words must be a table"),
        ('language = "en"\n[words]\nstop = "stop"', "words.stop must be a list"),
        ('language = "en"\n[words]\nstop = ["!!!"]', "words.stop must be a list"),
        ('language = "en"\nsentence_words = ["stop"]', "sentence_words"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(text: str, complaint: str) -> None:
    with pytest.raises(WordListError, match=complaint):
        parse_list("en", text)


@pytest.mark.parametrize("pattern", ["stop @nobody", ".. stop", "stop ..", "stop?", "stop a-b/c"])
def test_a_bad_phrase_is_named(pattern: str) -> None:
    listed = parse_list("en", f'language = "en"\n[phrases]\nbad = ["{pattern}"]')
    with pytest.raises(WordListError, match=r"en\.toml"):
        build([listed])


def test_pattern_language() -> None:
    elements = parse("stop/quit me? .. @thing", {"thing": ["texts", "Messages"]})
    assert elements == (
        Element(("stop", "quit")),
        Element(("me",), optional=True),
        Element(()),
        Element(("texts", "messages")),
    )
    assert expand(parse("a/b c?", {})) == [("a", "c"), ("a",), ("b", "c"), ("b",)]
    with pytest.raises(PatternError):
        expand(elements)


def test_machine_bounds_gaps_and_stops_at_sentences() -> None:
    machine = PhraseMachine([Compiled(parse("stop .. texts", {}), frozenset({"not"}))])

    def found(text: str) -> int:
        return len(machine.spans(text.split()))

    assert found("stop texts") == found("stop a b c texts") == found("stop , a texts") == 1
    assert found("stop a b c d texts") == found("stop . texts") == found("stop not texts") == 0


def test_machine_accepts_trailing_options_once_each() -> None:
    machine = PhraseMachine([Compiled(parse("remove me now? please?", {}))])
    ends = [span.end for span in machine.spans(["remove", "me", "now", "please"])]
    assert ends == [2, 3, 4]
