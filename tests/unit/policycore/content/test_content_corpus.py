"""Precision and recall of the content check over the published corpus, tuned and held out, printed."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from policycore.content.load import load_scorer
from policycore.model import Rules

CORPUS = Path(__file__).parent / "corpus"
LANGUAGES = ("en", "ar")
# Floors lie a little under what was measured; docs/content-check.md has the numbers.
FLOORS = {"tuned": (0.97, 0.80), "held out": (0.95, 0.75)}


@dataclass(frozen=True)
class Measured:
    precision: float
    recall: float
    lines: int


def corpus(language: str) -> dict[str, list[str]]:
    loaded: dict[str, list[str]] = yaml.safe_load((CORPUS / f"{language}.yaml").read_text(encoding="utf-8"))
    return loaded


def part_of(place: int) -> str:
    return "held out" if place % 3 == 2 else "tuned"


def measure(language: str, part: str) -> Measured:
    score, limit = load_scorer(), Rules().content_block_score
    counts = {"marketing": [0, 0], "genuine": [0, 0]}
    for kind, texts in corpus(language).items():
        for place, text in enumerate(texts):
            if part_of(place) == part:
                counts[kind][score(text, 0).points >= limit] += 1
    missed, caught = counts["marketing"]
    passed, wrong = counts["genuine"]
    return Measured(caught / (caught + wrong), caught / (caught + missed), missed + caught + passed + wrong)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("part", FLOORS)
def test_precision_and_recall_keep_their_floors(
    language: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = measure(language, part)
    with capsys.disabled():
        print(
            f"\ncontent check, {language}, {part}: {found.lines} lines, "
            f"precision {found.precision:.3f}, recall {found.recall:.3f}"
        )
    precision, recall = FLOORS[part]
    assert found.precision >= precision
    assert found.recall >= recall


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_corpus_is_large_balanced_and_without_repeats(language: str) -> None:
    texts = corpus(language)
    everything = texts["marketing"] + texts["genuine"]
    assert len(everything) >= 120
    assert len(texts["marketing"]) >= 60
    assert len(texts["genuine"]) >= 60
    assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("recipients", "most_refused"), [(50, 0.025), (500, 0.10)])
def test_few_genuine_texts_are_refused_because_many_persons_got_them(
    language: str, recipients: int, most_refused: float
) -> None:
    score, limit = load_scorer(), Rules().content_block_score
    genuine = corpus(language)["genuine"]
    refused = [text for text in genuine if score(text, recipients).points >= limit]
    assert len(refused) <= most_refused * len(genuine), refused
