"""Phone numbers: what people write -> E.164, and E.164 -> what may be shown.

Pure. Knows numbering plans through `phonenumbers` (Google's libphonenumber data) and nothing of persons or
accounts.
"""

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

MAX_TEXT_CHARACTERS = 64
"""Longer input is not a phone number, and is refused unread."""

MAX_DIGITS = 15
"""ITU-T E.164, section 6: country code and national number together."""

# National numbers this long begin with a trunk zero nearly everywhere; without it they are international.
_FEWEST_DIGITS_WITH_COUNTRY_CODE = 11
_CLEAN_SAUDI_MOBILE = re.compile(r"\+9665[0-9]{8}", re.ASCII)
_INVISIBLE = frozenset(
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
    "\u202a\u202b\u202c\u202d\u202e"
    "\u2066\u2067\u2068\u2069"
)
_SEPARATORS = frozenset("-.()\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00b7\uff0d\uff0e\uff08\uff09")
_PLUS = frozenset("+\uff0b")
_BULLET = "\u2022"


def normalize_phone(text: str, country: str | None) -> str | None:
    """Turn a phone number as written into E.164 with `+`, or None if it is not a possible number.

    `country` is an ISO 3166 code such as `SA`; without it only international numbers are understood: with
    `+`, with `00`, as bare digits, or with a space where a form decoder ate the `+`. Never raises.
    """
    if _CLEAN_SAUDI_MOBILE.fullmatch(text):
        return text
    if len(text) > MAX_TEXT_CHARACTERS:
        return None
    return _normalize(text, country.upper() if country else None)


@lru_cache(maxsize=16_384)
def _normalize(text: str, country: str | None) -> str | None:
    cleaned = _clean(text)
    if cleaned is None:
        return None
    digits, international = cleaned
    if international or country is None:
        return _international(digits)
    # A form decoder that turned the plus sign into a space leaves that space at the front.
    lost_plus = text[:1] == " " or (len(digits) >= _FEWEST_DIGITS_WITH_COUNTRY_CODE and digits[0] != "0")
    if lost_plus and (number := _parse("+" + digits, None)) and phonenumbers.is_valid_number(number):
        return _format(number)
    return _national_or_international(digits, country)


def _clean(text: str) -> tuple[str, bool] | None:
    """Digits, and whether they are marked as international; None if a character has no place in a phone
    number.
    """
    digits: list[str] = []
    plus = False
    for character in text:
        if (value := unicodedata.decimal(character, None)) is not None:
            digits.append(str(value))
        elif character in _PLUS and not plus and not digits:
            plus = True
        elif character not in _INVISIBLE and character not in _SEPARATORS and not character.isspace():
            return None
    number = "".join(digits)
    if not plus and number.startswith("00"):
        return number[2:], True
    return (number, plus) if number else None


def _international(digits: str) -> str | None:
    number = _parse("+" + digits, None)
    return _format(number) if number is not None and _possible(number) else None


def _national_or_international(digits: str, country: str) -> str | None:
    """Read bare digits as the country's own first; as international digits where that gives no number."""
    national = _parse(digits, country)
    international = _parse("+" + digits, None)
    for good_enough in (phonenumbers.is_valid_number, _possible):
        for number in (national, international):
            if number is not None and good_enough(number):
                return _format(number)
    return None


def _parse(text: str, country: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, country)
    except NumberParseException:
        return None


def _possible(number: phonenumbers.PhoneNumber) -> bool:
    # Numbers that are only possible within one city carry too few digits to be reached from elsewhere.
    return bool(phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE)


def _format(number: phonenumbers.PhoneNumber) -> str | None:
    formatted = str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    return formatted if len(formatted) <= MAX_DIGITS + 1 else None


def mask_phone(e164: str) -> str:
    """Show enough of a number to recognise it, and too little to call it: `+966500000000` -> `+9665•••••000`.

    Any text is accepted; the answer has its length, and masking twice changes nothing.
    """
    length = len(e164)
    if length >= 11:
        return e164[:5] + _BULLET * (length - 8) + e164[-3:]
    if length >= 7:
        return e164[:2] + _BULLET * (length - 4) + e164[-2:]
    return _BULLET * length
