"""Webhook authentication: published vectors, every way to be wrong, and garbage in the headers."""

import hmac
import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256, sha512
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.webhooks.whatsapp.verify import cloud_handshake, verify

NOW = datetime(2026, 8, 29, 10, 40, tzinfo=UTC)
SECRET = "a secret of the instance"
BODY = b'{"text":"caf\\u00e9 https:\\/\\/a.example"}'


def cloud_signature(secret: str = SECRET, body: bytes = BODY) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


def waha_signature(secret: str = SECRET, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), body, sha512).hexdigest()


def encoded(part: bytes) -> bytes:
    return urlsafe_b64encode(part).rstrip(b"=")


def token(secret: str = SECRET, header: Any = None, **claims: Any) -> str:
    issued = int(NOW.timestamp())
    said = {"iat": issued, "exp": issued + 600, "app": "evolution", "action": "webhook", **claims}
    said = {name: value for name, value in said.items() if value is not None}
    head = encoded(json.dumps({"alg": "HS256", "typ": "JWT"} if header is None else header).encode())
    signed = head + b"." + encoded(json.dumps(said).encode())
    return (signed + b"." + encoded(hmac.new(secret.encode(), signed, sha256).digest())).decode()


def holds(backend: str, secret: str = SECRET, body: bytes = BODY, **headers: Any) -> bool:
    return verify(
        backend, {name.replace("_", "-"): value for name, value in headers.items()}, body, secret, NOW
    )


def token_in(header: str, value: str) -> dict[str, Any]:
    return {header: value}


class TestCloudApi:
    def test_genuine(self) -> None:
        assert holds("cloud_api", x_hub_signature_256=cloud_signature())

    @pytest.mark.parametrize(
        "signature",
        [
            "",
            "sha256=",
            cloud_signature()[7:],
            cloud_signature("another secret"),
            cloud_signature(body=json.dumps(json.loads(BODY), ensure_ascii=False).encode()),
            cloud_signature()[:-1],
            "sha1=" + hmac.new(SECRET.encode(), BODY, "sha1").hexdigest(),
            "sha256=" + "é" * 64,
        ],
    )
    def test_false(self, signature: str) -> None:
        assert not holds("cloud_api", x_hub_signature_256=signature)

    def test_missing(self) -> None:
        assert not holds("cloud_api", x_hub_signature=cloud_signature())

    def test_the_old_signature_does_not_help(self) -> None:
        old = "sha1=" + hmac.new(SECRET.encode(), BODY, "sha1").hexdigest()
        assert not holds("cloud_api", x_hub_signature=old)


class TestWaha:
    def test_the_vendors_own_vector(self) -> None:
        # https://waha.devlike.pro/docs/how-to/events/#hmac-authentication
        signature = (
            "208f8a55dde9e05519e898b10b89bf0d0b3b0fdf11fdbf09b6b90476301b98d8"
            "097c462b2b17a6ce93b6b47a136cf2e78a33a63f6752c2c1631777076153fa89"
        )
        body = b'{"event":"message","session":"default","engine":"WEBJS"}'
        assert holds(
            "waha", "my-secret-key", body, x_webhook_hmac=signature, x_webhook_hmac_algorithm="sha512"
        )

    def test_without_algorithm(self) -> None:
        assert holds("waha", x_webhook_hmac=waha_signature())

    @pytest.mark.parametrize("algorithm", ["sha256", "none", "", "sha512; sha1"])
    def test_another_algorithm(self, algorithm: str) -> None:
        assert not holds("waha", x_webhook_hmac=waha_signature(), x_webhook_hmac_algorithm=algorithm)

    def test_another_body(self) -> None:
        assert not holds("waha", x_webhook_hmac=waha_signature(body=b"{}"))


class TestEvolution:
    @pytest.mark.parametrize("header", ["x_webhook_token", "apikey"])
    def test_static_header(self, header: str) -> None:
        assert holds("evolution", **token_in(header, SECRET))
        assert not holds("evolution", **token_in(header, SECRET + " "))
        assert not holds("evolution", **token_in(header, SECRET[:-1]))

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    def test_token(self, scheme: str) -> None:
        assert holds("evolution", authorization=f"{scheme} {token()}")

    @pytest.mark.parametrize(
        ("claims", "good"),
        [
            ({"iat": 59}, True),
            ({"iat": 61}, False),
            ({"exp": -1499}, True),
            ({"exp": -1501}, False),
        ],
    )
    def test_clocks_may_be_off_and_tokens_outlive_the_retries(
        self, claims: dict[str, int], good: bool
    ) -> None:
        now = int(NOW.timestamp())
        moved: dict[str, Any] = {name: now + by for name, by in claims.items()}
        assert holds("evolution", authorization=f"Bearer {token(**moved)}") is good

    @pytest.mark.parametrize(
        "bearer",
        [
            token("another secret"),
            token(header={"alg": "none"}),
            token(header={"alg": "HS512"}),
            token(header={}),
            token(header=[]),
            token(app="other"),
            token(action="login"),
            token(iat=None),
            token(exp=None),
            token(exp="never"),
            token(exp=True),
            token().rsplit(".", 1)[0] + ".",
            token().rsplit(".", 1)[0],
            token() + "." + token(),
            "..",
            "a.b.c",
            "é.é.é",
            "A" * 100_000,
        ],
        ids=range(18),
    )
    def test_false_tokens(self, bearer: str) -> None:
        assert not holds("evolution", authorization=f"Bearer {bearer}")

    def test_a_token_in_another_scheme(self) -> None:
        assert not holds("evolution", authorization=f"Basic {token()}")


def test_sandbox_takes_its_token_only() -> None:
    assert holds("sandbox", x_webhook_token=SECRET)
    assert not holds("sandbox", apikey=SECRET)


@pytest.mark.parametrize("backend", ["cloud_api", "waha", "evolution", "sandbox"])
def test_an_empty_secret_proves_nothing(backend: str) -> None:
    headers = {
        "x-hub-signature-256": cloud_signature(""),
        "x-webhook-hmac": waha_signature(""),
        "x-webhook-token": "",
        "apikey": "",
        "authorization": f"Bearer {token('')}",
    }
    assert not verify(backend, headers, BODY, "", NOW)
    assert not verify(backend, {}, BODY, "", NOW)
    assert not verify(backend, {}, BODY, SECRET, NOW)


def test_an_unknown_back_end_proves_nothing() -> None:
    assert not verify("carrier_pigeon", {"x-webhook-token": SECRET}, BODY, SECRET, NOW)


HEADERS = ["x-hub-signature-256", "x-webhook-hmac", "x-webhook-hmac-algorithm", "authorization", "apikey"]
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.text(alphabet=st.characters()),
    st.text(alphabet=st.characters()).map(lambda value: f"Bearer {value}.{value}.{value}"),
    st.binary(),
    st.binary().map(lambda value: "Bearer " + ".".join([encoded(value).decode()] * 3)),
    st.none(),
    st.integers(),
)


@settings(deadline=None)
@given(
    st.sampled_from(["cloud_api", "waha", "evolution", "sandbox"]),
    st.dictionaries(st.sampled_from(HEADERS), ANYTHING),
)
def test_garbage_never_raises_and_never_proves(backend: str, headers: dict[str, Any]) -> None:
    assert verify(backend, headers, BODY, SECRET, NOW) is False


QUERY = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "agreed word"}


class TestHandshake:
    def test_the_challenge_is_returned(self) -> None:
        assert cloud_handshake(QUERY, "agreed word") == "1158201444"

    @pytest.mark.parametrize(
        "change",
        [
            {"hub.mode": "unsubscribe"},
            {"hub.mode": ""},
            {"hub.verify_token": "another word"},
            {"hub.verify_token": ""},
            {"hub.challenge": ""},
            {"hub.challenge": "<script>alert(1)</script>"},
            {"hub.challenge": "1" * 300},
        ],
    )
    def test_everything_else_is_refused(self, change: dict[str, str]) -> None:
        assert cloud_handshake(QUERY | change, "agreed word") is None

    def test_without_a_word_nothing_is_agreed(self) -> None:
        assert cloud_handshake(QUERY | {"hub.verify_token": ""}, "") is None
        assert cloud_handshake({}, "agreed word") is None
