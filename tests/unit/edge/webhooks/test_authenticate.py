"""Who may call a webhook: secrets, addresses, timestamps, signatures."""

from hashlib import sha256

import pytest

from edge.model import IntegrationKey, Secret
from edge.webhooks.authenticate import (
    TOLERANCE_SECONDS,
    WebhookHeaders,
    check_headers,
    client_address,
    parse_address,
    parse_network,
    parse_signature,
    parse_timestamp,
    signature_claim,
    signature_matches,
)

NOW = 1_778_234_400.0  # 2026-05-08T10:00:00Z
STAMP = "2026-05-08T10:00:00Z"
HEX = "02b547b44da185fdbd3f8381157822e0435b689883aed51627e4f8cb5eedfc47"


def secret(text: str, until: float | None = None) -> Secret:
    return Secret(f"sec_{text}", text.encode(), sha256(text.encode()).digest(), until)


def key(*secrets: Secret, **fields: object) -> IntegrationKey:
    made = {"integration_id": "int_1", "account_id": "acc_1", "enabled": True, "secrets": secrets}
    return IntegrationKey(**(made | fields))  # type: ignore[arg-type]


def offered(text: str | None, timestamp: str | None = None, signature: str | None = None) -> WebhookHeaders:
    return WebhookHeaders(text, timestamp, signature)


def test_the_published_check_value() -> None:
    assert signature_matches(b"test_secret", STAMP, b'{"event_type":"test"}', HEX)
    assert not signature_matches(b"test_secret", STAMP, b'{"event_type":"test"} ', HEX)
    assert not signature_matches(b"test_secret", "2026-05-08T10:00:01Z", b'{"event_type":"test"}', HEX)
    assert not signature_matches(b"other", STAMP, b'{"event_type":"test"}', HEX)


def test_the_right_secret_is_let_through_and_named() -> None:
    check = check_headers(key(secret("new"), secret("old", NOW + 1)), offered("old"), None, NOW)
    assert check.refusal is None
    assert check.secret is not None
    assert check.secret.secret_id == "sec_old"
    assert check.signature_hex is None


@pytest.mark.parametrize(
    ("integration", "headers", "reason"),
    [
        (None, offered("s"), "unknown_integration"),
        (None, offered("no integration has this secret"), "unknown_integration"),
        (key(secret("s"), enabled=False), offered("s"), "disabled_integration"),
        (key(secret("s")), offered(None), "missing_secret"),
        (key(secret("s")), offered(""), "wrong_secret"),
        (key(secret("s")), offered("S"), "wrong_secret"),
        (key(secret("s")), offered("s, s"), "wrong_secret"),
        (key(), offered(""), "wrong_secret"),
        (key(secret("s"), secret("old", NOW)), offered("old"), "wrong_secret"),
        (key(secret("s"), signature_required=True), offered("s"), "missing_signature"),
        (key(secret("s"), signature_required=True), offered("s", STAMP), "missing_signature"),
        (key(secret("s")), offered("s", STAMP), "missing_signature"),
        (key(secret("s")), offered("s", None, HEX), "missing_signature"),
        (key(secret("s")), offered("s", "yesterday", HEX), "malformed_timestamp"),
        (key(secret("s")), offered("s", "", HEX), "malformed_timestamp"),
        (key(secret("s")), offered("s", "2026-05-08T09:54:59Z", HEX), "stale_timestamp"),
        (key(secret("s")), offered("s", "2026-05-08T10:05:01Z", HEX), "stale_timestamp"),
        (key(secret("s")), offered("s", "2026-05-07T10:00:00Z", HEX), "stale_timestamp"),
        (key(secret("s")), offered("s", STAMP, "sha256=abc"), "malformed_signature"),
        (key(secret("s")), offered("s", STAMP, f"sha1={HEX}"), "malformed_signature"),
        (key(secret("s")), offered("s", STAMP, f"{HEX}0"), "malformed_signature"),
    ],
)
def test_the_first_reason_is_found(
    integration: IntegrationKey | None, headers: WebhookHeaders, reason: str
) -> None:
    assert check_headers(integration, headers, parse_address("192.0.2.1"), NOW).refusal == reason


@pytest.mark.parametrize("written", [HEX, f"sha256={HEX}", f"SHA256={HEX.upper()}", f" sha256={HEX} "])
def test_a_signature_is_normalised(written: str) -> None:
    check = check_headers(key(secret("s"), signature_required=True), offered("s", STAMP, written), None, NOW)
    assert check.refusal is None
    assert check.signature_hex == HEX
    assert check.signed_at == NOW


@pytest.mark.parametrize("off_by", [-TOLERANCE_SECONDS, 0, TOLERANCE_SECONDS])
def test_the_tolerance_reaches_both_ways(off_by: float) -> None:
    headers = offered("s", str(int(NOW + off_by)), HEX)
    assert check_headers(key(secret("s")), headers, None, NOW).refusal is None


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (STAMP, NOW),
        ("2026-05-08T13:00:00+03:00", NOW),
        ("2026-05-08T10:00:00", NOW),
        ("2026-05-08T10:00:00.250Z", NOW + 0.25),
        ("1778234400", NOW),
        ("1778234400.5", NOW + 0.5),
        ("", None),
        ("now", None),
        ("-1", None),
        ("1e9", None),
        ("١٧٧٨٢٣٤٤٠٠", None),
        ("99999999999999999999", None),
        ("2026-05-08T10:00:61Z", None),
        ("1" * 500, None),
    ],
)
def test_timestamps(written: str, seconds: float | None) -> None:
    assert parse_timestamp(written) == seconds


def test_a_claim_names_integration_signature_and_timestamp() -> None:
    claim = signature_claim("int_1", HEX, STAMP, NOW)
    assert claim.digest == sha256(b"int_1\x00" + HEX.encode() + b"\x00" + STAMP.encode()).digest()
    assert claim.expires_at == NOW + TOLERANCE_SECONDS
    assert signature_claim("int_2", HEX, STAMP, NOW).digest != claim.digest


@pytest.mark.parametrize(
    ("allowed", "address", "passes"),
    [
        ((), "203.0.113.9", True),
        ((), None, True),
        (("203.0.113.9",), "203.0.113.9", True),
        (("203.0.113.9",), "203.0.113.8", False),
        (("203.0.113.0/24",), "203.0.113.8", True),
        (("203.0.113.7/24",), "203.0.113.8", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "2001:db9::1", False),
        (("203.0.113.0/24",), "::ffff:203.0.113.8", True),
        (("0.0.0.0/0",), "2001:db8::1", False),
        (("203.0.113.0/24",), None, False),
    ],
)
def test_the_allowlist(allowed: tuple[str, ...], address: str | None, passes: bool) -> None:
    networks = tuple(network for network in map(parse_network, allowed) if network is not None)
    caller = parse_address(address) if address else None
    check = check_headers(key(secret("s"), networks=networks), offered("s"), caller, NOW)
    assert check.refusal == (None if passes else "address_not_allowed")


def test_an_allowlist_nobody_can_read_allows_nobody() -> None:
    check = check_headers(
        key(secret("s"), unreadable_networks=True), offered("s"), parse_address("192.0.2.1"), NOW
    )
    assert check.refusal == "address_not_allowed"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # not a trusted proxy: the header counts for nothing
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9", "203.0.113.9"),  # the left part is the caller's own claim
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "203.0.113.9, nonsense", None),
        ("10.0.0.1", "", None),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        (None, "203.0.113.9", None),
        ("", None, None),
    ],
)
def test_the_callers_address(peer: str | None, forwarded: str | None, expected: str | None) -> None:
    trusted = parse_network("10.0.0.0/8")
    assert trusted is not None
    found = client_address(peer, forwarded, (trusted,))
    assert (str(found) if found is not None else None) == expected


@pytest.mark.parametrize("written", ["", "300.1.1.1", "10.0.0.0/33", "example.com"])
def test_what_is_no_network(written: str) -> None:
    assert parse_network(written) is None


def test_what_is_no_signature() -> None:
    assert parse_signature("") is None
    assert parse_signature("g" * 64) is None
    assert parse_signature("٠" * 64) is None
