"""Numbers for persons whose phone nobody sees: never a phone, never another's, read however they are written."""

import phonenumbers
import pytest

from policycore.phone import normalize_phone
from policycore.pseudonym import is_pseudonym, make_pseudonym, read_pseudonym

ONE = make_pseudonym("acc_1", "per_1", 0)


def test_it_looks_like_a_number_and_stays_the_same() -> None:
    assert make_pseudonym("acc_1", "per_1", 0) == ONE
    assert ONE[0] == "+" and ONE[1:].isdigit() and len(ONE) == 14
    assert is_pseudonym(ONE)


def test_persons_accounts_and_attempts_have_different_ones() -> None:
    made = {make_pseudonym(f"acc_{a}", f"per_{p}", t) for a in range(3) for p in range(300) for t in range(2)}
    assert len(made) == 3 * 300 * 2


def test_no_country_has_numbers_that_begin_so() -> None:
    codes = [
        code for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE if str(code).startswith("89") or code == 8
    ]
    assert not codes


@pytest.mark.parametrize("country", [None, "SA", "DE", "US", "AE", "GB", "EG", "CN"])
def test_it_is_never_read_as_a_phone(country: str | None) -> None:
    for number in range(200):
        made = make_pseudonym("acc_1", f"per_{number}", 0)
        assert normalize_phone(made, None) is None
        found = normalize_phone(made, country)
        assert found is None, (made, country, found)


@pytest.mark.parametrize(
    "written",
    [
        ONE,
        ONE[1:],
        f"00{ONE[1:]}",
        f" {ONE[1:]}",
        f"{ONE[:3]} {ONE[3:6]}-{ONE[6:]}",
        ONE.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
        f"\u200e{ONE}\u202c",
    ],
)
def test_it_is_read_however_it_is_written(written: str) -> None:
    assert read_pseudonym(written) == ONE


def test_a_wrong_digit_or_two_that_changed_places_are_nobody() -> None:
    digits = ONE[1:]
    for place in range(len(digits)):
        for other in "0123456789":
            if other != digits[place]:
                assert read_pseudonym("+" + digits[:place] + other + digits[place + 1 :]) is None
    for place in range(len(digits) - 1):
        a, b = digits[place], digits[place + 1]
        if a != b:
            assert read_pseudonym("+" + digits[:place] + b + a + digits[place + 2 :]) is None


@pytest.mark.parametrize(
    "written", ["", "+", "+89", "89x" + ONE[3:], "+966500000000", ONE + "0", "9" * 100_000, "\x00", "①②"]
)
def test_anything_else_is_none(written: str) -> None:
    assert read_pseudonym(written) is None
