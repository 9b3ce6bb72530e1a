"""Plain text that is sent to WhatsApp shows as it was typed."""

import pytest

from policycore.whatsapp_marks import as_typed


@pytest.mark.parametrize(
    "text",
    [
        "2*3*4=24",
        "5 * 3 * 2",
        "snake_case_name",
        "file_a.pdf and _b",
        "~5 minutes",
        "https://example.com/_a_/*b*?c=~d~",
        "mail _a_b_@example.com",
        "* one\n* two",
        "a `tick",
        "",
        "السعر 5*3",
    ],
)
def test_what_would_not_format_stays_as_it_is(text: str) -> None:
    assert as_typed(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*urgent*", "∗urgent∗"),
        ("(_see below_)", "(ˍsee belowˍ)"),
        ("was ~50~ 40", "was ∼50∼ 40"),
        ("run ```rm x``` now", "run ˋˋˋrm xˋˋˋ now"),
        ("code `A1`", "code ˋA1ˋ"),
        ("*a* and *b*", "∗a∗ and ∗b∗"),
        ("*_x_*", "∗ˍxˍ∗"),
        ("*مهم* جداً", "∗مهم∗ جداً"),
        ("*see* https://example.com/_a_", "∗see∗ https://example.com/_a_"),
    ],
)
def test_what_would_format_is_written_with_look_alikes(text: str, shown: str) -> None:
    assert as_typed(text) == shown
    assert as_typed(shown) == shown
    assert len(shown) == len(text)


@pytest.mark.parametrize(
    "text", ["*a " * 40_000, "*" * 100_000, "`" * 100_000, "_a_" * 30_000, "*a* " * 20_000]
)
def test_long_rows_of_marks_end(text: str) -> None:
    assert len(as_typed(text)) == len(text)
