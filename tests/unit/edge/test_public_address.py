"""The gateway's address as configured, and as a request tells it."""

import pytest

from edge.public_address import address_of_request, read_public_url


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://gateway.example.com", "https://gateway.example.com"),
        (" https://gateway.example.com/ ", "https://gateway.example.com"),
        ("https://gateway.example.com:8443/hub", "https://gateway.example.com:8443/hub"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_addresses(written: str, url: str) -> None:
    assert read_public_url(written) == url


@pytest.mark.parametrize(
    "written",
    [
        "gateway.example.com",
        "ftp://gateway.example.com",
        "https://",
        "https://user:word@gateway.example.com",
        "https://gateway.example.com?a=b",
        "https://gateway.example.com/#a",
        "https://gateway.example.com/a b",
        'https://gateway.example.com/"',
        "https://gateway example.com",
        "https://gateway.example.com:port",
        "https://[2001:db8::1",
        "https://gateway.example.com/[Secret]",
    ],
)
def test_what_is_no_address_of_ours(written: str) -> None:
    assert read_public_url(written) is None


@pytest.mark.parametrize(
    ("host", "proto", "address"),
    [
        ("gateway.example.com", "", "https://gateway.example.com"),
        ("gateway.example.com:8443", "http", "http://gateway.example.com:8443"),
        ("127.0.0.1:8080", "", "http://127.0.0.1:8080"),
        ("localhost:8080", "", "http://localhost:8080"),
        ("10.0.0.5", "", "http://10.0.0.5"),
        ("10.0.0.5", "https", "https://10.0.0.5"),
        ("[::1]:8080", "", "http://[::1]:8080"),
        ("203.0.113.9", "HTTPS, http", "https://203.0.113.9"),
        ("gateway.example.com", "javascript", "https://gateway.example.com"),
        ("", "", ""),
        ("a b", "", ""),
        ('"><x', "", ""),
        ("user@host", "", ""),
        ("[Secret]", "", ""),
        ("a" * 300, "", ""),
    ],
)
def test_the_address_of_a_request(host: str, proto: str, address: str) -> None:
    assert address_of_request(host, proto) == address
