"""Fields that several kinds of configuration share, and the tokens that lists continue with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policycore.errors import Malformed
from policycore.registry import fields
from policycore.registry.pages import page_request, write_token


def test_addresses_take_their_usual_form() -> None:
    written = [" 10.0.0.1 ", "10.0.0.1/32", "10.1.2.3/8", "2001:DB8::1", "2001:db8::/32"]
    assert fields.check_addresses("a", written) == ("10.0.0.1", "10.0.0.0/8", "2001:db8::1", "2001:db8::/32")


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.1/33", "host.example", "::g", "10.0.0.1;"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(Malformed, match="not an IP address"):
        fields.check_addresses("a", [text])


def test_too_many_addresses() -> None:
    with pytest.raises(Malformed, match="at most 200"):
        fields.check_addresses("a", ["10.0.0.1"] * 201)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://example.com/", "must begin with https"),
        ("ftp://example.com/", "absolute address"),
        ("example.com", "absolute address"),
        ("https://", "absolute address"),
        ("https://user:pw@example.com/", "user name"),
        ("https://example.com:99999/", "not an address"),
        ("https://exa mple.com/", "spaces"),
        ("https://[::1", "not an address"),
        ("https://example.com/" + "a" * 2000, "2000 characters"),
    ],
)
def test_what_is_no_url(url: str, problem: str) -> None:
    with pytest.raises(Malformed, match=problem) as caught:
        fields.check_url("url", url, plain_http=False)
    assert "pw" not in str(caught.value)


def test_urls_that_are() -> None:
    assert fields.check_url("u", " https://pbx.example/hook?a=b ", plain_http=False) == (
        "https://pbx.example/hook?a=b"
    )
    assert fields.check_url("u", "http://127.0.0.1:9/", plain_http=True) == "http://127.0.0.1:9/"


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "Asia", "+03:00", "\x00"])
def test_what_is_no_time_zone(zone: str) -> None:
    with pytest.raises(Malformed, match="IANA"):
        fields.check_time_zone("z", zone)


def test_names() -> None:
    assert fields.check_name("n", "  مركز الدعم ") == "  مركز الدعم ".strip()
    for bad in ("", "   ", "a" * 201, "a\x00b", "a\x1bb"):
        with pytest.raises(Malformed):
            fields.check_name("n", bad)


def test_countries_phones_languages() -> None:
    assert fields.check_country("c", " sa ") == "SA"
    assert fields.check_country("c", "") == ""
    assert fields.check_phone("p", "00966 50 000 0000") == "+966500000000"
    assert fields.check_language("l", "") == "en"
    for check, bad in (
        (fields.check_country, "XX"),
        (fields.check_phone, "0500000000"),
        (fields.check_language, "fr"),
    ):
        with pytest.raises(Malformed):
            check("f", bad)


@given(st.tuples(st.integers(-(2**62), 2**62), st.text(max_size=50)))
def test_tokens_bring_their_key_back(key: tuple[int, str]) -> None:
    assert page_request(0, write_token(key), (int, str)).after == key


@given(st.one_of(st.text(max_size=60), st.binary(max_size=40).map(lambda raw: raw.hex())))
def test_any_other_token_is_refused_by_name(token: str) -> None:
    if not token:
        return
    with pytest.raises(Malformed) as caught:
        page_request(0, token, (int, str))
    assert caught.value.field == "page_token"


@pytest.mark.parametrize("key", [(1,), ("a", 1), (True, "a"), (1, "a", "b"), (2**70, "a")])
def test_a_token_of_another_list_is_refused(key: tuple[object, ...]) -> None:
    with pytest.raises(Malformed):
        page_request(0, write_token(key), (int, str))  # type: ignore[arg-type]


def test_page_sizes() -> None:
    assert page_request(0, "", (int,)).size == 50
    assert page_request(1000, "", (int,)).size == 1000
    for size in (-1, 1001):
        with pytest.raises(Malformed, match="page_size"):
            page_request(size, "", (int,))
