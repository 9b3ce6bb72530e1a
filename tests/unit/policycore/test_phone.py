"""Phone numbers in every form people write them, and the masked form that may be shown."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policycore.phone import mask_phone, normalize_phone

SAUDI = "+966500000000"


@pytest.mark.parametrize("country", [None, "SA", "sa", "DE"])
@pytest.mark.parametrize(
    "text",
    [
        "+966500000000",
        "966500000000",
        " 966500000000",
        "00966500000000",
        "00 966 50 000 0000",
        "+966 50 000 0000",
        "+966-50-000-0000",
        "+966.50.000.0000",
        "(+966) 50 000 0000",
        "+966 (0)50 000 0000",
        "\u202a+966 50 000 0000\u202c",
        "\u200e+966500000000\u200f",
        "+٩٦٦٥٠٠٠٠٠٠٠٠",
        "+۹۶۶۵۰۰۰۰۰۰۰۰",
        "٠٠٩٦٦٥٠٠٠٠٠٠٠٠",
        "＋９６６５００００００００",
        "\t+966\u00a050\u2011000\u20110000\n",
    ],
)
def test_international_forms_are_understood_whatever_the_country(text: str, country: str | None) -> None:
    assert normalize_phone(text, country) == SAUDI


@pytest.mark.parametrize("text", ["0500000000", "500000000", "050-000-0000", "(050) 0000000", "٠٥٠٠٠٠٠٠٠٠"])
def test_national_forms_need_the_country(text: str) -> None:
    assert normalize_phone(text, "SA") == SAUDI
    assert normalize_phone(text, None) is None


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        ("447911123456", "SA", "+447911123456"),
        ("07911 123456", "GB", "+447911123456"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("0500000000", "XX", None),
        ("966500000000", "XX", "+966500000000"),
    ],
)
def test_country_decides_what_bare_digits_mean(text: str, country: str, expected: str | None) -> None:
    assert normalize_phone(text, country) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "00",
        "12",
        "+12",
        "unknown",
        "anonymous",
        "sip:101@pbx",
        "+966500000000x12",
        "+966 5000",
        "+9665000000000000000",
        "++966500000000",
        "966+500000000",
        "+00966500000000",
        "+000000000000",
        "\ud800",
        "+96650000000½",
        "0" * 1_000_000,
        " " * 1_000_000 + SAUDI,
    ],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert normalize_phone(text, None) is None
    assert normalize_phone(text, "SA") is None


@given(st.text(max_size=80), st.sampled_from([None, "SA", "US", "??", ""]))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_e164_or_none(text: str, country: str | None) -> None:
    number = normalize_phone(text, country)
    assert number is None or (
        number[0] == "+" and number[1:].isdigit() and number.isascii() and len(number) <= 16
    )


@given(st.text(alphabet="+0123456789 -().٠١٢٣٤٥٦٧٨٩\u200f", max_size=24))
@settings(max_examples=300, deadline=None)
def test_normalizing_twice_changes_nothing(text: str) -> None:
    number = normalize_phone(text, "SA")
    assert number is None or normalize_phone(number, None) == number


def test_huge_input_costs_nothing() -> None:
    started = time.perf_counter()
    for _ in range(100):
        assert normalize_phone("9" * 200_000, "SA") is None
    assert time.perf_counter() - started < 1.0


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (SAUDI, "+9665•••••000"),
        ("+12125550123", "+1212••••123"),
        ("+4512345", "+4••••45"),
        ("+123", "••••"),
        ("", ""),
    ],
)
def test_masking_hides_the_middle(number: str, shown: str) -> None:
    assert mask_phone(number) == shown


@given(st.text(max_size=40))
def test_masking_keeps_length_and_is_stable(text: str) -> None:
    masked = mask_phone(text)
    assert len(masked) == len(text)
    assert mask_phone(masked) == masked


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_masking_hides_at_least_three_characters(number: str) -> None:
    assert mask_phone(number).count("•") >= 3
