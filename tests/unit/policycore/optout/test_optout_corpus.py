"""Measures the lists on the corpus of customers' sentences; prints precision and recall per language."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from policycore.optout.match import Match, MatchKind, match
from policycore.optout.words import LANGUAGES, WordLists

CORPUS = Path(__file__).with_name("corpus")
HELD_OUT = Path(__file__).with_name("held_out")
RECALL_AT_LEAST = 0.95
FALSE_OPT_OUTS_AT_MOST = 0.01
NEEDLESS_QUESTIONS_AT_MOST = 0.05
HELD_OUT_RECALL_AT_LEAST = 0.75
"""Lower than for the corpus, which the lists were made to fit; the difference is what the corpus hides."""

EXPECTED = {
    "opt_out": MatchKind.OPT_OUT,
    "look_alike": MatchKind.NONE,
    "ambiguous": MatchKind.AMBIGUOUS,
    "start": MatchKind.OPT_IN,
    "not_start": MatchKind.NONE,
}
"""Each table of a corpus file, without the suffix that names its draw."""


@dataclass(frozen=True)
class Case:
    """One sentence, the verdict a reader would expect, and what the lists said."""

    sentence: str
    table: str
    found: Match

    @property
    def right(self) -> bool:
        return self.found.kind is EXPECTED[self.table]


def _cases(language: str, words: WordLists, folder: Path = CORPUS) -> Iterator[Case]:
    tables = tomllib.loads((folder / f"{language}.toml").read_text(encoding="utf-8"))
    for name, sentences in tables.items():
        table = name
        for draw in ("_second", "_third", "_fourth"):
            table = table.removesuffix(draw)
        for sentence in sentences:
            yield Case(sentence, table, match(sentence, words))


@pytest.fixture(scope="module")
def measured(optout_words: WordLists) -> dict[str, list[Case]]:
    return {language: list(_cases(language, optout_words)) for language in LANGUAGES}


def _false_opt_outs(cases: list[Case]) -> list[str]:
    return [
        case.sentence for case in cases if case.table != "opt_out" and case.found.kind is MatchKind.OPT_OUT
    ]


def _missed(cases: list[Case]) -> list[str]:
    return [case.sentence for case in cases if case.table == "opt_out" and not case.right]


def _needless(cases: list[Case]) -> list[str]:
    asked = (case for case in cases if case.table == "look_alike" and case.found.kind is MatchKind.AMBIGUOUS)
    return [case.sentence for case in asked]


def _line(language: str, cases: list[Case]) -> str:
    wanted = sum(case.table == "opt_out" for case in cases)
    caught, false = wanted - len(_missed(cases)), len(_false_opt_outs(cases))
    return (
        f"{language:>8} {len(cases):6} {caught / (caught + false):9.3f} {caught / wanted:7.3f} {false:6}"
        f" of {len(cases) - wanted:<3} {len(_needless(cases)):9}"
    )


def test_print_precision_and_recall(
    measured: dict[str, list[Case]], capsys: pytest.CaptureFixture[str]
) -> None:
    header = "language  cases precision  recall  false opt-outs  needless questions"
    with capsys.disabled():
        print("\n" + "\n".join([header, *(_line(language, measured[language]) for language in LANGUAGES)]))
    assert sorted(measured) == sorted(path.stem for path in CORPUS.glob("*.toml"))


def test_sentences_that_never_shaped_the_lists(
    optout_words: WordLists, measured: dict[str, list[Case]], capsys: pytest.CaptureFixture[str]
) -> None:
    unseen = {language: list(_cases(language, optout_words, HELD_OUT)) for language in LANGUAGES}
    together = [case for cases in unseen.values() for case in cases]
    with capsys.disabled():
        lines = [*(_line(language, unseen[language]) for language in LANGUAGES), _line("all", together)]
        print("\n" + "\n".join(["held out", *lines]))
    known = {case.sentence for cases in measured.values() for case in cases}
    assert known.isdisjoint(case.sentence for case in together)
    wanted = sum(case.table == "opt_out" for case in together)
    assert len(_missed(together)) <= (1 - HELD_OUT_RECALL_AT_LEAST) * wanted, _missed(together)
    assert len(_false_opt_outs(together)) <= FALSE_OPT_OUTS_AT_MOST * len(together), _false_opt_outs(together)


@pytest.mark.parametrize("language", LANGUAGES)
def test_corpus_is_large_and_half_of_it_look_alikes(language: str, measured: dict[str, list[Case]]) -> None:
    cases = measured[language]
    assert len({case.sentence for case in cases}) >= 60
    assert 2 * sum(case.table in ("look_alike", "not_start") for case in cases) >= len(cases) * 0.9
    assert {case.table for case in cases} == set(EXPECTED)


@pytest.mark.parametrize("language", LANGUAGES)
def test_opt_outs_are_recognised(language: str, measured: dict[str, list[Case]]) -> None:
    cases = measured[language]
    missed = _missed(cases)
    wanted = sum(case.table == "opt_out" for case in cases)
    assert 1 - len(missed) / wanted >= RECALL_AT_LEAST, missed


@pytest.mark.parametrize("language", LANGUAGES)
def test_look_alikes_are_left_alone(language: str, measured: dict[str, list[Case]]) -> None:
    cases = measured[language]
    false, needless = _false_opt_outs(cases), _needless(cases)
    others = sum(case.table != "opt_out" for case in cases)
    assert len(false) / others <= FALSE_OPT_OUTS_AT_MOST, false
    assert len(needless) / others <= NEEDLESS_QUESTIONS_AT_MOST, needless


@pytest.mark.parametrize("language", LANGUAGES)
def test_ambiguous_and_start_cases_are_exact(language: str, measured: dict[str, list[Case]]) -> None:
    wrong = [case for case in measured[language] if case.table in ("ambiguous", "start") and not case.right]
    wrong += [
        case
        for case in measured[language]
        if case.table == "not_start" and case.found.kind is MatchKind.OPT_IN
    ]
    assert wrong == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_evidence_names_a_rule_of_the_lists(language: str, measured: dict[str, list[Case]]) -> None:
    for case in measured[language]:
        if case.found.kind is MatchKind.NONE:
            assert (case.found.rule, case.found.language) == ("", "")
        else:
            assert case.found.rule.split(".")[0] == case.found.language
            assert case.found.language in LANGUAGES
