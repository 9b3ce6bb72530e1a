"""Credentials: their shape, their randomness, and what is kept of them."""

import os
from base64 import urlsafe_b64decode
from hashlib import sha256

import pytest

from policycore.registry.credentials import (
    digest,
    new_api_key,
    new_service_token,
    new_signing_secret,
    new_webhook_secret,
    same,
)


class Counting:
    """Random bytes that remember how many were asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, count: int) -> bytes:
        self.asked += count
        return os.urandom(count)


def test_every_credential_takes_256_random_bits() -> None:
    for make in (
        new_webhook_secret,
        new_signing_secret,
        lambda source: new_api_key(source, test=False),
        new_service_token,
    ):
        source = Counting()
        make(source)
        assert source.asked * 8 >= 256


def test_the_randomness_is_all_in_the_text() -> None:
    secret = new_webhook_secret(lambda count: bytes(range(count)))
    assert urlsafe_b64decode(secret + "=") == bytes(range(32))


@pytest.mark.parametrize(("test", "beginning"), [(True, "wg_test_"), (False, "wg_live_")])
def test_api_keys_show_their_kind(test: bool, beginning: str) -> None:
    key = new_api_key(os.urandom, test=test)
    assert key.text.startswith(beginning)
    assert key.text.startswith(key.prefix)
    assert len(beginning) < len(key.prefix) < 20
    assert key.digest == sha256(key.text.encode()).digest() == digest(key.text)
    assert key.text not in repr(key)


def test_service_tokens_show_what_they_are() -> None:
    assert new_service_token(os.urandom).text.startswith("hgs_")


def test_comparing() -> None:
    assert same("secret", "secret")
    assert same(b"secret", "secret")
    assert not same("secret", "Secret")
    assert not same("secret", "")
    assert not same("سر", "secret")
