"""Folding: one word written in many ways becomes one word, and words that differ stay apart."""

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policycore.optout.fold import fold, fold_keeping_hamza, tokens


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("Stop!!! 🙏", "stop"),
        ("ＳＴＯＰ", "stop"),
        ("𝐒𝐓𝐎𝐏", "stop"),
        ("STOPPPPP", "stop"),
        ("st\u200bo\u2060p\ufeff", "stop"),
        ("\u202eSTOP\u202c", "stop"),
        ("don’t", "dont"),
        ("Désabonner", "desabonner"),
        ("De\u0301sabonner", "desabonner"),
        ("İPTAL", "iptal"),
        ("IPTAL", "iptal"),
        ("ıptal", "iptal"),
        ("Größe", "grosse"),
        ("opt-out", "opt out"),
        ("*STOP* _now_", "stop now"),
        ("إيقاف", "ايقاف"),
        ("إيــقــاف", "ايقاف"),
        ("إِيقَافُ", "ايقاف"),
        ("اﯾﻘﺎف", "ايقاف"),
        ("ﻻ ﺗﺮﺳﻞ", "لا ترسل"),
        ("رسالة", "رساله"),
        ("ٱلغى", "الغي"),
        ("مسؤول", "مسوول"),
        ("کریں", "كريں"),
        ("ہو", "هو"),
        ("رقم ٥٥٤ و ۱۲۳", "رقم 554 و 123"),
        ("रोकें", "रोकें"),
        ("", ""),
        ("🙏👍🏽", ""),
        ("\ud800stop", "stop"),
    ],
)
def test_fold(written: str, folded: str) -> None:
    assert fold(written) == unicodedata.normalize("NFKD", folded)


@pytest.mark.parametrize(
    ("one", "other"), [("रोकें", "रुकें"), ("रोकें", "रोक"), ("stop", "step"), ("112", "12"), ("लौट", "लोट")]
)
def test_different_words_stay_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_hamza_is_kept_where_it_parts_start_from_never() -> None:
    assert fold("ابدأ") == fold("أبداً") == "ابدا"
    assert fold_keeping_hamza("ابدأ") != fold_keeping_hamza("أبدا")
    assert fold_keeping_hamza("ابدأ") == fold_keeping_hamza("ا\u0640بد\u0627\u0654!!")


def test_breaks_stand_where_sentences_and_parts_end() -> None:
    assert tokens("Stop. Thanks, bye؟\nok") == ["stop", ".", "thanks", ",", "bye", ".", ".", "ok"]


@given(st.text(alphabet=st.characters(), max_size=60))
def test_fold_is_idempotent_and_never_raises(text: str) -> None:
    once = fold(text)
    assert fold(once) == once
    assert "  " not in once
    assert once == once.strip()


def test_every_character_has_a_settled_form() -> None:
    """Each character of the first planes once, not a sample: a single bad mapping would break idempotence."""
    for first in range(0, min(0x20000, sys.maxunicode), 0x400):
        for code_point in range(first, first + 0x400):
            once = fold(chr(code_point))
            assert fold(once) == once, hex(code_point)


@settings(max_examples=50)
@given(st.lists(st.sampled_from(["stop", "رسائل", "मत", "é", "1", "."]), max_size=12))
def test_words_fold_alike_alone_and_in_company(words: list[str]) -> None:
    assert fold(" ".join(words)).split() == [part for word in words for part in fold(word).split()]
