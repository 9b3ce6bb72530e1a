"""The address guard: what may be connected to, in every way of writing it."""

import ipaddress
from collections.abc import Sequence

import pytest

from sender.addresses import AddressPolicy, AddressRefusedError
from sender.names import GuardedResolver

PUBLIC = AddressPolicy()
LAN = AddressPolicy((ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00:1::/32")))
DEVELOPMENT = AddressPolicy((), https_required=False)

REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.0.9",
    "169.254.169.254",
    "169.254.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::a00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
ALLOWED = [
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "192.169.0.1",
    "2606:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(AddressRefusedError):
        PUBLIC.check_address(address)


@pytest.mark.parametrize("address", ALLOWED)
def test_addresses_that_are_allowed(address: str) -> None:
    PUBLIC.check_address(address)


@pytest.mark.parametrize(
    "text", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "1.2.3", "", "localhost", "1.1.1.1 "]
)
def test_only_canonical_addresses_are_addresses(text: str) -> None:
    with pytest.raises(AddressRefusedError):
        PUBLIC.check_address(text)


def test_an_operator_may_allow_a_range() -> None:
    LAN.check_address("10.1.2.3")
    LAN.check_address("fd00:1::5")
    for address in ("10.2.0.1", "fd00:2::5", "127.0.0.1", "::ffff:10.1.2.3"):
        with pytest.raises(AddressRefusedError):
            LAN.check_address(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://127.1/",
        "https://2130706433/",
        "https://017700000001/",
        "https://127.0.0.1./",
        "https://user:pw@example.com/",
        "https://user@example.com/",
        "https://@example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "",
        "https://",
        "https:///path",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:abc/",
        "https://example.com/\r\nX: y",
        "https://exa mple.com/",
        "https://example.com\\@10.0.0.1/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://１２７.0.0.1/",
        "https://example.com/" + "x" * 2_050,
        "javascript:alert(1)",
        "https://example.com/\x00",
        "https://example.com/\u2028",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(AddressRefusedError):
        PUBLIC.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/a/b?c=d",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:443/x",
        "HTTPS://Example.com/",
    ],
)
def test_urls_that_are_allowed(url: str) -> None:
    PUBLIC.check_url(url)


def test_plain_http_is_for_development_only() -> None:
    DEVELOPMENT.check_url("http://example.com/")
    with pytest.raises(AddressRefusedError, match="https is required"):
        PUBLIC.check_url("http://example.com/")
    with pytest.raises(AddressRefusedError, match="loopback"):
        DEVELOPMENT.check_url("http://127.0.0.1/")


def test_a_refusal_is_never_remembered_as_leave() -> None:
    # The same URL under two policies: what one lets through the other still refuses.
    DEVELOPMENT.check_url("http://example.org/")
    with pytest.raises(AddressRefusedError):
        PUBLIC.check_url("http://example.org/")


class Names:
    """A name server that answers differently each time, as in a rebinding attack."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def lookup(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


async def test_a_name_is_pinned_to_what_was_checked() -> None:
    names = Names(["8.8.8.8", "2606:4700::1111"])
    found = await GuardedResolver(PUBLIC, names.lookup).resolve("example.com", 443)
    assert [(entry["host"], entry["port"], entry["hostname"]) for entry in found] == [
        ("8.8.8.8", 443, "example.com"),
        ("2606:4700::1111", 443, "example.com"),
    ]
    assert names.asked == ["example.com"]


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"], ["8.8.8.8", "::1"], ["::ffff:8.8.8.8"]],
)
async def test_one_bad_answer_spoils_the_name(answers: list[str]) -> None:
    with pytest.raises(AddressRefusedError):
        await GuardedResolver(PUBLIC, Names(answers).lookup).resolve("example.com", 443)


async def test_a_name_that_changes_is_checked_again() -> None:
    resolver = GuardedResolver(PUBLIC, Names(["8.8.8.8"], ["127.0.0.1"]).lookup)
    await resolver.resolve("example.com", 443)
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("example.com", 443)


async def test_a_name_without_addresses() -> None:
    with pytest.raises(OSError, match="no address"):
        await GuardedResolver(PUBLIC, Names([]).lookup).resolve("example.com", 443)
