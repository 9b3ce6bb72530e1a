"""Call-event templates: validation, rendering, and the defaults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policycore.content.load import load_scorer
from policycore.model import TEMPLATED
from policycore.templates import (
    DEFAULT_TEMPLATES,
    MAX_TEMPLATE_CHARACTERS,
    VARIABLES,
    render,
    validate_template,
)


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        "{{customer_phone}} {{agent_extension}} {{queue}} {{call_time}} {{business_name}}",
        "{{ queue }}",
        "اتصلت بنا من {{customer_phone}}",
        "x" * MAX_TEMPLATE_CHARACTERS,
    ],
)
def test_good_templates_have_no_problems(text: str) -> None:
    assert validate_template(text) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("x" * (MAX_TEMPLATE_CHARACTERS + 1), "4097 characters"),
        ("{{customer_name}}", "{{customer_name}} does not exist"),
        ("{{Queue}}", "{{Queue}} does not exist"),
        ("{{queue", "brace"),
        ("queue}}", "brace"),
        ("{queue}", "brace"),
        ("{{{queue}}}", "brace"),
        ("{{}}", "brace"),
        ("{{queue name}}", "brace"),
    ],
)
def test_problems_are_named(text: str, says: str) -> None:
    problems = validate_template(text)
    assert len(problems) == 1
    assert says in problems[0]


def test_each_unknown_variable_is_named_once() -> None:
    assert len(validate_template("{{a}} {{b}} {{a}}")) == 2


def test_rendering_fills_in_and_leaves_missing_values_empty() -> None:
    text = "{{ business_name }}: {{customer_phone}}, {{queue}}."
    assert (
        render(text, {"business_name": "Shop", "customer_phone": "+966500000000"}) == "Shop: +966500000000, ."
    )


def test_values_are_not_expanded_again() -> None:
    values = {"queue": "{{customer_phone}}\\1", "customer_phone": "+966500000000"}
    assert render("{{queue}}", values) == "{{customer_phone}}\\1"


@given(st.text(max_size=200), st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=20)))
def test_a_valid_template_leaves_no_variable_behind(text: str, values: dict[str, str]) -> None:
    if not validate_template(text):
        plain = {name: value.replace("{", "").replace("}", "") for name, value in values.items()}
        assert "{{" not in render(text, plain)


def test_there_is_a_default_for_every_event_in_both_languages() -> None:
    assert set(DEFAULT_TEMPLATES) == {(event, language) for event in TEMPLATED for language in ("en", "ar")}


def test_defaults_are_valid_disabled_support_and_not_marketing() -> None:
    score = load_scorer()
    for (_, language), template in DEFAULT_TEMPLATES.items():
        assert validate_template(template.text) == []
        assert template.language == language
        assert not template.enabled
        assert template.purpose == "support"
        assert score(template.text, 0).points < 50


def test_defaults_read_well_without_the_values_a_phone_system_may_leave_out() -> None:
    for template in DEFAULT_TEMPLATES.values():
        text = render(template.text, {"customer_phone": "+966500000000", "business_name": "Shop"})
        assert text.endswith("\nShop")
        assert "  " not in text
