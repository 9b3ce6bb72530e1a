"""The ladder: what is an opt-out, what only looks like one, and what is asked back."""

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policycore.optout.match import NO_MATCH, Match, MatchKind, match
from policycore.optout.words import LANGUAGES, WordLists

OPT_OUTS = (
    "STOP", "Please stop", "unsubscribe", "stop sending me messages", "I don't want these messages", "إيقاف",
    "لا ترسلوا لي رسائل", "احذفني", "بند کریں", "مجھے میسج مت بھیجیں", "band karo", "बंद करो",
    "मुझे संदेश मत भेजो", "arrêtez de m'envoyer des messages", "désabonner", "no me envíen más mensajes",
    "darme de baja", "não quero mais receber mensagens", "SAIR", "mesaj göndermeyin", "abonelikten çık",
    "schreiben Sie mir nicht mehr", "abmelden",
)  # fmt: skip
LOOK_ALIKES = (
    "Cancel my order", "don't stop", "bus stop", "Don't stop sending me the updates", "الغاء الطلب",
    "لا توقف الطلب", "موقف الباص", "قف عند الباب", "دکان کب بند ہوتی ہے", "order band mat karo", "रुकें",
    "दुकान कब बंद होती है", "arrêt de bus", "annuler ma commande", "la tarifa baja", "cancelar la cita",
    "cancelar o pedido", "siparişimi iptal", "Halt, falsche Adresse", "stornieren Sie den Artikel",
    "We have got to STOP this terrible bill", "when does the sale end", "I get no more messages from you",
)  # fmt: skip


def test_step_one_a_listed_word_is_the_whole_message(optout_words: WordLists) -> None:
    assert match("STOP", optout_words) == Match(MatchKind.OPT_OUT, "en.word.stop", "en")
    assert match("قف", optout_words) == Match(MatchKind.OPT_OUT, "ar.word.qif", "ar")


def test_step_two_politeness_does_not_weaken_a_word(optout_words: WordLists) -> None:
    assert match("Stop. Thank you", optout_words) == Match(MatchKind.OPT_OUT, "en.polite.stop", "en")
    assert match("hola, STOP por favor 🙏", optout_words, language_hint="es").rule == "es.polite.stop"


def test_step_three_a_phrase_unless_negated(optout_words: WordLists) -> None:
    found = match("Hi, I got your offer. Please stop sending me these messages!", optout_words)
    assert found == Match(MatchKind.OPT_OUT, "en.phrase.stop_sending", "en")
    assert match("Please don't stop sending me these messages!", optout_words) == NO_MATCH
    assert (
        match("if you don't stop sending me messages I will complain", optout_words).kind is MatchKind.OPT_OUT
    )


@pytest.mark.parametrize(
    "text", ["No, dejen de enviarme mensajes", "لا، اوقفوا الرسائل", "Não, parem de me mandar mensagens"]
)
def test_step_three_a_refusal_before_a_pause_is_no_negation(text: str, optout_words: WordLists) -> None:
    assert match(text, optout_words).kind is MatchKind.OPT_OUT
    assert match(text.replace(",", "").replace("،", ""), optout_words) == NO_MATCH


def test_step_three_a_noun_beside_the_phrase_makes_it_a_question(optout_words: WordLists) -> None:
    assert match("stop sending me messages about my order", optout_words).kind is MatchKind.AMBIGUOUS
    assert match("My order came. Stop sending me messages", optout_words).kind is MatchKind.OPT_OUT


@pytest.mark.parametrize(
    "word", ["cancel", "END", "الغاء", "band", "बंद", "annuler", "cancelar", "iptal", "Halt"]
)
def test_step_four_an_ambiguous_word_depends_on_what_it_answers(word: str, optout_words: WordLists) -> None:
    asked = match(word, optout_words)
    acted = match(word, optout_words, last_outbound_was_promotional=True)
    assert (asked.kind, acted.kind) == (MatchKind.AMBIGUOUS, MatchKind.OPT_OUT)
    assert asked.rule == acted.rule


def test_a_promotion_makes_no_sentence_an_opt_out(optout_words: WordLists) -> None:
    for sentence in LOOK_ALIKES:
        assert match(sentence, optout_words, last_outbound_was_promotional=True) == NO_MATCH, sentence


def test_step_four_a_word_that_is_one_sentence_among_others_is_asked_about(optout_words: WordLists) -> None:
    found = match("The food was cold. STOP. Where is my refund?", optout_words)
    assert found == Match(MatchKind.AMBIGUOUS, "en.sentence.stop", "en")


@pytest.mark.parametrize("sentence", LOOK_ALIKES)
def test_look_alikes(sentence: str, optout_words: WordLists) -> None:
    assert match(sentence, optout_words) == NO_MATCH


@pytest.mark.parametrize(
    "text", ["yes", "YES", "Yes please", "نعم", "جی", "हाँ", "oui", "sí", "sim", "evet", "ja", "ok"]
)
def test_yes_never_means_anything_here(text: str, optout_words: WordLists) -> None:
    assert match(text, optout_words) == NO_MATCH
    assert match(text, optout_words, last_outbound_was_promotional=True) == NO_MATCH


@pytest.mark.parametrize(
    "text", ["START", "start.", " Start ", "ＳＴＡＲＴ", "UNSTOP", "ابدأ", "إبدأ", "ابدا", "شروع", "शुरू"]
)
def test_start_words(text: str, optout_words: WordLists) -> None:
    assert match(text, optout_words).kind is MatchKind.OPT_IN


@pytest.mark.parametrize(
    "text",
    ["أبدا", "أبداً", "ابداً", "start please", "start my order", "please START", "ابدأ الطلب", "starting"],
)
def test_start_is_exact(text: str, optout_words: WordLists) -> None:
    assert match(text, optout_words).kind is not MatchKind.OPT_IN


def test_the_hint_settles_whose_word_it_is(optout_words: WordLists) -> None:
    for language in LANGUAGES:
        assert match("STOP", optout_words, language_hint=language).language == language
        assert match("START", optout_words, language_hint=f"{language}-XX").language == language
    assert match("RED", optout_words).kind is MatchKind.AMBIGUOUS
    assert match("RED", optout_words, language_hint="tr") == Match(MatchKind.OPT_OUT, "tr.word.ret", "tr")
    assert match("STOP", optout_words, language_hint="klingon").language == "en"


def test_spaced_letters_are_one_word(optout_words: WordLists) -> None:
    assert match("S T O P", optout_words).kind is MatchKind.OPT_OUT
    assert match("s.t.o.p!", optout_words).kind is MatchKind.OPT_OUT
    assert match("a b c", optout_words) == NO_MATCH


@given(text=st.text(alphabet=st.characters(), max_size=80))
def test_never_raises_and_random_text_is_no_opt_out(text: str, optout_words: WordLists) -> None:
    assert isinstance(match(text, optout_words), Match)


INVISIBLE = st.sampled_from(["\u200b", "\u200d", "\u2060", "\u200f", "\u202a", "\ufe0f", "\u00ad"])


def _insert(text: str, mark: str, place: int) -> str:
    place %= len(text) + 1
    return text[:place] + mark + text[place:]


@given(sentence=st.sampled_from(OPT_OUTS + LOOK_ALIKES), mark=INVISIBLE, place=st.integers(0, 200))
def test_invisible_marks_do_not_change_the_verdict(
    sentence: str, mark: str, place: int, optout_words: WordLists
) -> None:
    assert match(_insert(sentence, mark, place), optout_words) == match(sentence, optout_words)


@given(sentence=st.sampled_from(OPT_OUTS + LOOK_ALIKES), place=st.integers(0, 200))
def test_tatweel_does_not_change_the_verdict(sentence: str, place: int, optout_words: WordLists) -> None:
    assert match(_insert(sentence, "\u0640", place), optout_words) == match(sentence, optout_words)


@given(
    sentence=st.sampled_from(OPT_OUTS + LOOK_ALIKES),
    emoji=st.sampled_from(["🙏", "😡😡", "!!!", " ", "\u00a0"]),
)
def test_case_width_and_emoji_do_not_change_the_verdict(
    sentence: str, emoji: str, optout_words: WordLists
) -> None:
    expected = match(sentence, optout_words)
    wide = "".join(
        chr(ord(letter) + 0xFEE0) if "a" <= letter.lower() <= "z" else letter for letter in sentence
    )
    for written in (sentence.upper(), sentence.lower(), wide, sentence + emoji, emoji + sentence):
        assert match(written, optout_words) == expected, written


@given(
    look_alike=st.sampled_from(LOOK_ALIKES),
    before=st.sampled_from(["", "hi, ", "السلام عليكم، ", "bonjour ", "please "]),
    after=st.sampled_from(["", " thanks", "؟", " 🙏", " at 5 pm", " شكرا", "\nok"]),
)
def test_mutated_look_alikes_stay_harmless(
    look_alike: str, before: str, after: str, optout_words: WordLists
) -> None:
    assert match(before + look_alike + after, optout_words).kind in (MatchKind.NONE, MatchKind.AMBIGUOUS)


@settings(max_examples=30)
@given(sentence=st.sampled_from(OPT_OUTS), seed=st.integers(0, 1000))
def test_an_opt_out_survives_a_long_complaint_before_it(
    sentence: str, seed: int, optout_words: WordLists
) -> None:
    chosen = random.Random(seed).choices(["late", "price", "again", "yesterday", "انتظرت", "بطيء"], k=120)
    found = match(" ".join(chosen) + ". " + sentence + ".", optout_words)
    expected = (MatchKind.OPT_OUT, MatchKind.AMBIGUOUS) if len(sentence.split()) > 3 else tuple(MatchKind)
    assert found.kind in expected


def _lines_run(call: Callable[[], object]) -> int:
    """How many lines of Python a call runs: a measure of work that no busy machine can disturb."""
    lines = 0

    def trace(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return lines


HOSTILE_UNITS = (
    "stop ", "don't stop texting me ", "لا ترسل ", "a", ".", "stop sending messages order ", "\u0301", "😀 ",
    "do not want any more of the ", "mat bhejo message ", "m'envoyer messages ", "S.T.O.P ", "\ud800",
    "बंद मत ", "stop sending me any more of the ", "stop. ",
)  # fmt: skip


@pytest.mark.parametrize("unit", HOSTILE_UNITS)
def test_work_grows_linearly_with_length(unit: str, optout_words: WordLists) -> None:
    short, long = ((unit * characters)[:characters] for characters in (4_000, 40_000))
    match(short, optout_words)
    assert _lines_run(lambda: match(long, optout_words)) <= 11 * _lines_run(
        lambda: match(short, optout_words)
    )


@pytest.mark.parametrize("unit", HOSTILE_UNITS)
def test_huge_messages_get_a_verdict(unit: str, optout_words: WordLists) -> None:
    assert match((unit * 100_000)[:100_000], optout_words).kind in MatchKind
