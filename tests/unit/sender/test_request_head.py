"""Requests as bytes: hosts, ports, targets, and nothing that could be read as more than one request."""

import pytest

from sender.request_head import BadRequestError, message, plan


def lines(method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b"") -> list[bytes]:
    head, end, written = message(plan(method, url), headers or {}, body).partition(b"\r\n\r\n")
    assert end
    assert written == body
    return head.split(b"\r\n")


def test_a_whole_request() -> None:
    raw = message(plan("POST", "https://shop.example.com/a?b=c"), {"X-Key": "k v"}, "né".encode())
    assert raw == (
        b"POST /a?b=c HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: hubgate\r\nAccept: */*\r\n"
        b"Accept-Encoding: identity\r\nX-Key: k v\r\nContent-Length: 3\r\n\r\nn\xc3\xa9"
    )


def test_a_length_is_said_by_whoever_may_have_a_body() -> None:
    assert b"Content-Length: 0" in lines("POST", "https://a.example/")
    assert not any(line.startswith(b"Content-Length") for line in lines("GET", "https://a.example/"))
    assert b"Content-Length: 2" in lines("GET", "https://a.example/", body=b"ok")


@pytest.mark.parametrize(
    ("url", "place", "host"),
    [
        ("http://a.example", ("http", "a.example", 80), "a.example"),
        ("http://a.example:80/", ("http", "a.example", 80), "a.example"),
        ("http://a.example:443/", ("http", "a.example", 443), "a.example:443"),
        ("https://a.example:80/", ("https", "a.example", 80), "a.example:80"),
        ("https://A.Example.:8443/", ("https", "a.example.", 8443), "a.example:8443"),
        ("HTTPS://my_host-1/", ("https", "my_host-1", 443), "my_host-1"),
        ("https://8.8.8.8/", ("https", "8.8.8.8", 443), "8.8.8.8"),
        ("https://[2606:4700:0:0::1111]/", ("https", "2606:4700::1111", 443), "[2606:4700::1111]"),
        ("https://[2606:4700::1111]:99/", ("https", "2606:4700::1111", 99), "[2606:4700::1111]:99"),
        ("https://bücher.example/", ("https", "xn--bcher-kva.example", 443), "xn--bcher-kva.example"),
        ("https://faß.example/", ("https", "xn--fa-hia.example", 443), "xn--fa-hia.example"),
        ("https://مثال.example/", ("https", "xn--mgbh0fb.example", 443), "xn--mgbh0fb.example"),
        ("https://☕.example/", ("https", "xn--53h.example", 443), "xn--53h.example"),
        ("https://127。0。0。1/", ("https", "127.0.0.1", 443), "127.0.0.1"),
        ("https://ⓛocalhost/", ("https", "localhost", 443), "localhost"),
    ],
)
def test_hosts_and_ports(url: str, place: tuple[str, str, int], host: str) -> None:
    made = plan("GET", url)
    assert made.place == place
    assert lines("GET", url)[1] == b"Host: " + host.encode()


def test_spellings_of_an_address_are_an_address() -> None:
    for url in ("https://127。0。0。1/", "https://[::1]/", "https://127.0.0.1./", "https://2130706433/"):
        assert plan("GET", url).place.is_address
    assert not plan("GET", "https://a1.example/").place.is_address


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example", "/"),
        ("https://a.example?b", "/?b"),
        ("https://a.example/a/b;c=d/?e=f&g=h%20i+j#k", "/a/b;c=d/?e=f&g=h%20i+j"),
        ("https://a.example/%2F%2e%zz%", "/%2F%2e%25zz%25"),
        ("https://a.example/né?ü=سلام", "/n%C3%A9?%C3%BC=%D8%B3%D9%84%D8%A7%D9%85"),
        ('https://a.example/<a>"{b}|^`[c]', "/%3Ca%3E%22%7Bb%7D%7C%5E%60%5Bc%5D"),
        ("https://a.example/a/./b/../c", "/a/c"),
        ("https://a.example/../../a/..", "/"),
        ("https://a.example/a/.", "/a/"),
        ("https://a.example/.well-known/x", "/.well-known/x"),
        ("https://a.example//b", "//b"),
    ],
)
def test_targets(url: str, target: str) -> None:
    assert lines("GET", url)[0] == f"GET {target} HTTP/1.1".encode()


@pytest.mark.parametrize("mark", ["\r", "\n", "\r\n", "\x00", " ", "\t", "\x7f", "\u2028", "\x85"])
def test_no_mark_in_a_url_ends_a_line(mark: str) -> None:
    # The address guard refuses these before; what is written does not rely on that.
    for url in (
        f"https://a.example/x{mark}X: y",
        f"https://a.example/?x{mark}X: y",
        f"https://a{mark}.example/",
    ):
        try:
            found = lines("GET", url)
        except BadRequestError:
            continue
        assert len(found) == 5
        assert found[0].count(b" ") == 2
        assert all(byte >= 0x20 for line in found for byte in line)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "a.example",
            "ftp://a.example/",
            "https://",
            "https:///x",
            "https://a..example/",
            "https://.a/",
        ),
        *("https://a%2f.example/", "https://a.example:99999/", "https://a.example:x/", "https://[::1/"),
        *("https://[::1%25lo]/", "https://[v1.a]/", "https://a b.example/", "https://a'b.example/"),
        *("https://" + "a" * 64 + ".example/", "https://" + "a." * 130 + "example/"),
    ],
)
def test_urls_that_make_no_request(url: str) -> None:
    with pytest.raises(BadRequestError):
        plan("GET", url)


@pytest.mark.parametrize("method", ["", "get", "GET ", "G\r\nT", "GÉT", "G" * 17])
def test_methods_that_are_none(method: str) -> None:
    with pytest.raises(BadRequestError):
        plan(method, "https://a.example/")


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"X-A": "b\r\nX-B: c"},
            {"X-A": "b\n"},
            {"X-A": "\x00"},
            {"X-A": "é"},
            {"X-A": "a\tb"},
            {"X-A": "\x7f"},
        ),
        *({"X A": "b"}, {"X-A\r\n": "b"}, {"": "b"}, {"X-A:": "b"}, {"X-É": "b"}, {"X" * 65: "b"}),
        *({"X-A": "b" * 4_097}, {"Host": "b"}, {"content-length": "1"}, {"Transfer-Encoding": "chunked"}),
        *({"CONNECTION": "close"}, {"Upgrade": "h2c"}, {"Expect": "100-continue"}, {"TE": "trailers"}),
        *({"Accept-Encoding": "gzip"}, {"Proxy-Connection": "x"}),
    ],
)
def test_headers_that_are_none_or_not_the_callers(headers: dict[str, str]) -> None:
    with pytest.raises(BadRequestError) as refused:
        message(plan("POST", "https://a.example/"), headers, b"")
    assert not any(value in str(refused.value) for value in headers.values() if len(value) > 5)


def test_the_longest_header_passes() -> None:
    assert lines("GET", "https://a.example/", {"X" * 64: "b" * 4_096})[-1].endswith(b"b" * 4_096)
