"""The content scorer: folding, features, combinations, bounds and cost."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policycore.content.features import FeatureError, parse_features
from policycore.content.fold import fold, tokens
from policycore.content.load import LANGUAGES, load_features, load_scorer
from policycore.content.score import NOTHING_FOUND, Scorer

SCORE = load_scorer()
BLOCK = 80


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("ＳＡＬＥ", "sale"),
        ("خـصـم", "خصم"),
        ("خَصْمٌ", "خصم"),
        ("ﺧﺼﻢ", "خصم"),
        ("إلى المكتبة", "الي المكتبه"),
        ("٢٥٪", "25%"),
        ("۲۵%", "25%"),
        ("di\u200bscount", "discount"),
        ("S A L E", "sale"),
        ("s.a-l*e now", "sale now"),
        ("a b", "a b"),
        ("I can", "i can"),
    ],
)
def test_folding_makes_one_word_of_many_spellings(written: str, folded: str) -> None:
    assert fold(written) == folded


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("50% off", ["#pct", "off"]),
        ("%50 off", ["#pct", "off"]),
        ("$9.99 or 5 €", ["#price", "or", "#price"]),
        ("code eid25", ["code", "#mixed"]),
        ("call 920000000 now", ["call", "#num", "now"]),
        ("see https://bit.ly/x and bit.ly/y", ["see", "#short", "and", "#short"]),
        ("https://www.shop.example.com/a?b=1", ["#url"]),
        ("don't miss", ["don't", "miss"]),
        ("🔥🔥", ["#emoji", "#emoji"]),
        ("2kg", ["#num", "kg"]),
    ],
)
def test_tokens_are_words_and_classes(text: str, cut: list[str]) -> None:
    assert list(tokens(text, frozenset({"bit.ly"}))) == cut


def test_discount_in_an_answer_about_an_invoice_is_not_marketing() -> None:
    assert SCORE("تم تطبيق الخصم على فاتورتك رقم 4432", 0).points == 0


@pytest.mark.parametrize(
    "text",
    [
        "خصم 50% على جميع المنتجات، تسوق الآن",
        "خـصـم ٥٠٪ علـى جميع المنتجات، تسـوق الآن",
        "GET 50% OFF, SHOP NOW",
        "Get 50% o\u200bff, s\u200dhop now",
        "Ｇｅｔ ５０％ ｏｆｆ， ｓｈｏｐ ｎｏｗ",
    ],
)
def test_disguises_do_not_help(text: str) -> None:
    assert SCORE(text, 0).points >= BLOCK


def test_a_reference_does_not_excuse_an_advertisement() -> None:
    text = "Your invoice is paid. Enjoy 20% off your next purchase with code THANKS20, shop now!"
    assert SCORE(text, 0).points >= BLOCK


@pytest.mark.parametrize("capital", ["\u2160", "\u24b6"])
def test_capitals_that_are_no_letters_are_counted_too(capital: str) -> None:
    assert SCORE(capital * 12, 0).features == ("capitals",)


def test_the_same_text_to_many_persons_counts() -> None:
    text = "Everything in the store has a discount this week."
    few, many = SCORE(text, 0), SCORE(text, 200)
    assert few.points < BLOCK <= many.points
    assert "similar_recipients" in many.features


def test_the_number_of_persons_alone_blocks_nothing() -> None:
    assert SCORE("Hello, how can we help you?", 1_000_000).points < 50


def test_features_name_the_heaviest_first() -> None:
    found = SCORE("Your ticket: 10% discount, shop now", 0).features
    assert found[0] == "call_to_act"
    assert found[-1] == "reference"


def test_a_plain_text_has_no_features() -> None:
    assert SCORE("Good morning", 0) == NOTHING_FOUND
    assert SCORE("", 0) == NOTHING_FOUND


@given(st.text(max_size=400), st.integers(min_value=0, max_value=10_000))
@settings(max_examples=150, deadline=None)
def test_any_text_has_a_score_between_0_and_100(text: str, recipients: int) -> None:
    scored = SCORE(text, recipients)
    assert 0 <= scored.points <= 100
    assert scored == SCORE(text, recipients)


@given(st.text(max_size=200), st.integers(0, 300), st.integers(0, 300))
@settings(max_examples=100, deadline=None)
def test_more_recipients_never_lower_a_score(text: str, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert SCORE(text, low).points <= SCORE(text, high).points


@pytest.mark.parametrize(
    "unit",
    [
        "a ",
        "shop ",
        "a.b-",
        "9.",
        "%",
        "خصم ",
        "www.",
        "a1",
        "\u0651",
        "x.y.z/",
        "don't ",
        "🔥",
        "$1",
        "a" * 70,
    ],
)
def test_time_grows_with_the_length_only(unit: str) -> None:
    def seconds(characters: int) -> float:
        text = (unit * characters)[:characters]
        runs = []
        for _ in range(3):
            started = time.perf_counter()
            SCORE(text, 0)
            runs.append(time.perf_counter() - started)
        return min(runs)

    # Sixteen times the text; quadratic work would take 256 times as long.
    assert seconds(32_768) < 100 * max(seconds(2_048), 0.0005)


WEIGHTS = """
most_relief = 10
[feature]
deal = { points = 40 }
ticket = { points = -30 }
percentage = { points = 1 }
price = { points = 1 }
link = { points = 1 }
short_link = { points = 1 }
[combination.both]
points = 7
needs = [["deal"], ["ticket"]]
[tier]
emoji = [{ at_least = 1, points = 2 }, { at_least = 2, points = 5 }]
[shorteners]
hosts = []
"""


def test_points_combinations_tiers_and_relief_add_up() -> None:
    scorer = Scorer(parse_features(WEIGHTS, ['[phrases]\ndeal = ["(big|) deal"]\nticket = ["ticket"]']))
    assert scorer("big deal", 0).points == 40
    assert scorer("deal on deal", 0).points == 40
    assert scorer("ticket", 0).points == 0
    assert scorer("a deal for your ticket", 0).points == 40 + 7 - 10
    assert scorer("deal 🔥", 0).points == 42
    assert scorer("deal 🔥🔥🔥", 0).points == 45


@pytest.mark.parametrize(
    ("weights", "phrases"),
    [
        (WEIGHTS, '[phrases]\nnobody = ["x"]'),
        (WEIGHTS, '[phrases]\ndeal = ["sale"]\nticket = ["SALE"]'),
        (WEIGHTS, '[phrases]\ndeal = ["!!!"]'),
        (WEIGHTS.replace('[["deal"], ["ticket"]]', '[["nobody"]]'), "[phrases]"),
        (WEIGHTS.replace('[["deal"], ["ticket"]]', '"deal"'), "[phrases]"),
        (WEIGHTS.replace("emoji =", "sparkle ="), "[phrases]"),
    ],
)
def test_contradicting_data_files_are_refused(weights: str, phrases: str) -> None:
    with pytest.raises(FeatureError):
        parse_features(weights, [phrases])


def test_every_feature_with_phrases_has_them_in_every_language() -> None:
    features = load_features()
    assert len(LANGUAGES) == 2
    shown = set(features.phrases.values())
    assert shown | {"percentage", "link", "short_link"} == set(features.points)
