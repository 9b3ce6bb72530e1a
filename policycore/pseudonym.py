"""Numbers that stand for persons whose phone number nobody sees: made, recognised, and never a phone.

Pure. A phone system shows and answers numbers; WhatsApp shows some persons by a linked id or a business-scoped id
only. Such a person goes by `+89`, nine digits, and two check digits. ITU's list of country codes names 890 to 899 as
spare codes (List of ITU-T Recommendation E.164 assigned country codes,
https://www.itu.int/pub/T-SP-E.164D), so no such number is somebody's; see docs/decisions/0034-pseudonyms.md.
"""

import re
import unicodedata
from hashlib import sha256

PREFIX = "+89"
KIND = "alias"
"""Kind of identity, beside `phone`, `lid` and `bsuid`."""

_BODY_DIGITS = 9
_BODIES = 10**_BODY_DIGITS
_MAX_TEXT_CHARACTERS = 64
_SHAPE = re.compile(r"89[0-9]{11}", re.ASCII)


def make_pseudonym(account_id: str, person_id: str, attempt: int) -> str:
    """A person's number; another for each `attempt`, for the rare case that one is taken in the account."""
    digest = sha256(f"pseudonym\0{account_id}\0{person_id}\0{attempt}".encode()).digest()
    body = f"89{int.from_bytes(digest[:8], 'big') % _BODIES:0{_BODY_DIGITS}d}"
    return f"+{body}{_check_digits(body)}"


def is_pseudonym(e164: str) -> bool:
    """Whether a number in E.164, or what looks like one, is one of these rather than a phone. Cheap."""
    return e164.startswith(PREFIX)


def read_pseudonym(text: str) -> str | None:
    """A pseudonym as people and phone systems write numbers, or None: `+89…`, `0089…`, bare, spaced, in any digits.

    One whose check digits are wrong is nobody's: a slip of a finger must not reach another person. Never raises.
    """
    if len(text) > _MAX_TEXT_CHARACTERS or any(each.isalpha() for each in text):
        return None
    digits = "".join(
        str(value) for each in text if (value := unicodedata.decimal(each, None)) is not None
    ).removeprefix("00")
    if not _SHAPE.fullmatch(digits) or _check_digits(digits[:-2]) != digits[-2:]:
        return None
    return f"+{digits}"


def _check_digits(body: str) -> str:
    """ISO 7064, MOD 97-10: finds every wrong digit and every two that changed places."""
    return f"{98 - int(body) * 100 % 97:02d}"
