"""Lines for agents: quotes, changes, places, and what hostile shapes come to."""

from datetime import UTC, datetime

import pytest

from policycore.agent_text import LONGEST_TEXT, Original, change_text, message_text, one_line, window_text
from policycore.agent_words import AR, EN
from policycore.inbound import MediaItem, Message, MessageChange

OURS = Original("msg_1", "Your order 4711 leaves today.", 0, True)
PHOTO = Original("msg_2", "", 2, False)
TURNED = "a\u202egnp.exe\u2066b\u2069\u202c"


def said(kind: int, text: str = "", **more: object) -> str:
    fields: dict[str, object] = {"kind": kind, "text": text, **more}
    return message_text(Message("x", **fields), None, "en")  # type: ignore[arg-type]


def test_both_languages_have_the_same_words_with_the_same_places() -> None:
    def places(text: str) -> set[str]:
        return {part.split("}")[0] for part in text.split("{")[1:]}

    assert {key: places(text) for key, text in EN.items()} == {key: places(text) for key, text in AR.items()}


def test_a_reply_names_what_it_answers() -> None:
    message = Message("x", 1, "Thanks")
    assert message_text(message, OURS, "en") == "[Reply to “Your order 4711 leaves today.”] Thanks"
    assert message_text(message, OURS, "ar") == "[رد على «Your order 4711 leaves today.»] Thanks"
    assert message_text(message, PHOTO, "en") == "[Reply to “Image”] Thanks"
    assert message_text(message, None, "en") == "Thanks"


def test_a_long_quote_is_cut() -> None:
    line = message_text(Message("x", 1, "ok"), Original("m", "word " * 10_000, 0, True), "en")
    assert line.endswith("…”] ok") and len(line) < 100


@pytest.mark.parametrize(
    ("change", "english", "arabic"),
    [
        (MessageChange(1, "x", "👍"), "[Reacted 👍 to “Your order 4711 leaves today.”]", "[تفاعل بـ 👍 مع «"),
        (
            MessageChange(2, "x"),
            "[Took back the reaction to “Your order 4711 leaves today.”]",
            "[أزال التفاعل مع «",
        ),
        (MessageChange(3, "x", "Today?"), "[Edited “Your order 4711 leaves today.”] Today?", "[عدّل «"),
        (MessageChange(4, "x"), "[Deleted a message]", "[حذف رسالة]"),
        (
            MessageChange(4, "x", from_business=True),
            "[On the business's phone] [Deleted a message]",
            "[من هاتف",
        ),
    ],
)
def test_changes(change: MessageChange, english: str, arabic: str) -> None:
    assert change_text(change, OURS, "en") == english
    assert change_text(change, OURS, "ar").startswith(arabic)


def test_a_deleted_text_is_not_repeated() -> None:
    assert "secret" not in change_text(MessageChange(4, "x"), Original("m", "secret", 1, False), "en")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Location: Home, 24.7,46.6", "[Location] Home https://maps.google.com/?q=24.700000,46.600000"),
        ("Location: 1e-07,-0.5", "[Location] https://maps.google.com/?q=0.000000,-0.500000"),
        ("Location: Home, 91,46.6", "[Location] Home"),
        ("Location: Home, 24.7,-180.5", "[Location] Home"),
        ("Location: Home, 1e999,1", "[Location] Home"),
        ("Location: Home, --1,..", "[Location] Home"),
        ("Location", "[Location]"),
        ("Location: Home", "[Location] Home"),
    ],
)
def test_places_link_to_a_map_if_they_are_on_earth(text: str, line: str) -> None:
    assert said(7, text) == line


def test_voice_notes_view_once_and_documents() -> None:
    assert said(4, voice=True, seconds=62) == "[Voice note, 1:02]"
    assert said(4, voice=True) == "[Voice note]"
    assert said(4) == "[Audio]"
    assert said(2, "look", view_once=True) == "[Image] [View once: open it on the business's phone] look"
    assert said(5, "", media=(MediaItem(file_name="a.pdf"),)) == "[Document: a.pdf]"


def test_a_customer_cannot_write_what_looks_like_a_label_of_another_kind() -> None:
    assert said(1, "Location: nowhere") == "Location: nowhere"
    assert said(8, "Contact: {name} %s, +966500000001") == "[Contact] {name} %s, +966500000001"


@pytest.mark.parametrize("kind", range(13))
@pytest.mark.parametrize(
    "hostile",
    [
        TURNED,
        "line\r\nbreak\u2028and\u2029more\x0b\x0c\x85",
        "\x00\x01\x1b[31mred",
        "x" * 100_000,
        "\u202e" * 100_000,
        "{0}{name}{quote}%s",
        "\ud7ff\uffff",
        " \t\n ",
    ],
)
def test_hostile_words_come_to_one_clean_line(kind: int, hostile: str) -> None:
    named = (MediaItem(file_name=hostile),)
    for text in (hostile, f"Location: {hostile}, 95,1e400", f"Contact: {hostile}", f"Poll: {hostile}"):
        line = message_text(Message("x", kind, text, media=named), Original("m", hostile, kind, False), "en")
        assert line and len(line) < LONGEST_TEXT + 600
        assert not set(line) & set(
            "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x00\x1b\r\x0b\u2028"
        )
        if kind not in {1, 2, 3, 4, 5, 6, 9}:
            assert "\n" not in line
    change = change_text(MessageChange(1, "x", hostile), Original("m", hostile, kind, False), "ar")
    assert "\n" not in change and "\u202e" not in change


def test_a_text_keeps_its_lines_its_marks_and_its_joiners() -> None:
    assert said(1, "*bold*\r\n_it_ ~x~ `a`") == "*bold*\n_it_ ~x~ `a`"
    family, arabic = "👨\u200d👩\u200d👧", "می\u200cخواهم"
    assert said(1, f"{family} {arabic} \u200f") == f"{family} {arabic} \u200f"


def test_a_long_text_is_cut_and_says_so() -> None:
    assert said(1, "x" * LONGEST_TEXT) == "x" * LONGEST_TEXT
    assert said(1, "x" * 12_345).endswith("[… cut: 12345 characters in all]")


def test_one_line_never_exceeds_what_it_is_given() -> None:
    assert one_line("a" * 50, 10) == "aaaaaaaaa…"


def test_the_end_of_a_window() -> None:
    at = datetime(2026, 3, 1, 14, 30, tzinfo=UTC)
    assert "Sara waits" in window_text("Sara", at, 60, "en") and "14:30, in 60 minutes" in window_text(
        "", at, 60, "en"
    )
    assert "العميل" in window_text("", at, 60, "ar") and "14:30" in window_text(TURNED, at, 60, "ar")
    assert "\u202e" not in window_text(TURNED, at, 60, "ar")
