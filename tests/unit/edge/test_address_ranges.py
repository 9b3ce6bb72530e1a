"""Allowed addresses: found as a walk over the networks would, and in equally many steps."""

import sys
from collections.abc import Callable
from hashlib import sha256
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model import AddressRanges, IntegrationKey, Secret
from edge.webhooks.authenticate import WebhookHeaders, check_headers, parse_address

NETWORKS = st.ip_addresses(network="10.0.0.0/16") | st.ip_addresses(network="2001:db8::/112")


@given(st.lists(st.tuples(NETWORKS, st.integers(0, 24)), max_size=12), st.lists(NETWORKS, max_size=20))
def test_what_is_within_is_found(blocks: list[tuple[object, int]], addresses: list[object]) -> None:
    networks = [
        ip_network((str(start), ip_address(str(start)).max_prefixlen - bits), strict=False)
        for start, bits in blocks
    ]
    ranges = AddressRanges(networks)
    edges = [network[at] for network in networks for at in (0, -1)]
    for each in [*edges, *(ip_address(str(address)) for address in addresses)]:
        assert (each in ranges) == any(each.version == n.version and each in n for n in networks)


def steps(check: Callable[[], object]) -> int:
    """How many calls the check makes, in Python and below."""
    made = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal made
        made += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        check()
    finally:
        sys.setprofile(None)
    return made


def secret(text: bytes) -> Secret:
    return Secret("sec_1", text, sha256(text).digest())


@pytest.mark.parametrize("caller", ["198.51.100.7", "203.0.5.9", "2001:db8::7", None])
@pytest.mark.parametrize("signed", [False, True])
def test_every_stranger_costs_the_same_steps(caller: str | None, signed: bool) -> None:
    # Two hundred networks walked one by one took fifty microseconds: enough to tell a known integration over a network.
    long = tuple(ip_network(f"203.0.{third}.0/24") for third in range(200))
    two = (secret(b"one"), secret(b"two"))
    strangers = (
        None,
        IntegrationKey("int_1", "acc_1", True, two[:1]),
        IntegrationKey("int_1", "acc_1", False, two),
        IntegrationKey("int_1", "acc_1", True, two, networks=long),
        IntegrationKey("int_1", "acc_1", True, two, signature_required=signed, unreadable_networks=True),
    )
    headers = WebhookHeaders("wrong", *(("1778234400", "sha256=" + "a" * 64) if signed else (None, None)))
    address = parse_address(caller) if caller else None
    counted = [steps(lambda key=key: check_headers(key, headers, address, 0.0)) for key in strangers]  # type: ignore[misc]
    assert counted == [counted[0]] * len(strangers)
