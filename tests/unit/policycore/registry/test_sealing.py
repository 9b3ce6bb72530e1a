"""Sealing: what is kept can be opened with the right key, in its own row, and nowhere else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policycore.registry.sealing import INTEGRATION_SECRET, SIGNING_SECRET, Sealing, SealingError, key_id

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@given(st.text(max_size=200), st.text(max_size=20))
def test_what_was_sealed_opens(secret: str, row_id: str) -> None:
    sealing = Sealing(KEY, os.urandom)
    sealed = sealing.seal(secret, INTEGRATION_SECRET, row_id)
    assert sealing.unseal(sealed, INTEGRATION_SECRET, row_id) == secret
    assert len(secret) < 4 or secret.encode() not in sealed


def test_the_same_secret_is_never_sealed_alike() -> None:
    sealing = Sealing(KEY, os.urandom)
    assert len({sealing.seal("secret", INTEGRATION_SECRET, "sec_1") for _ in range(50)}) == 50


def test_another_key_is_named_clearly() -> None:
    sealed = Sealing(KEY, os.urandom).seal("secret", INTEGRATION_SECRET, "sec_1")
    with pytest.raises(SealingError, match="HUBGATE_MASTER_KEY") as caught:
        Sealing(OTHER, os.urandom).unseal(sealed, INTEGRATION_SECRET, "sec_1")
    assert key_id(KEY) in str(caught.value)
    assert key_id(OTHER) in str(caught.value)


def test_a_retired_key_still_opens() -> None:
    sealed = Sealing(KEY, os.urandom).seal("secret", INTEGRATION_SECRET, "sec_1")
    both = Sealing(OTHER, os.urandom, retired=[KEY])
    assert both.unseal(sealed, INTEGRATION_SECRET, "sec_1") == "secret"
    assert key_id(OTHER).encode() in both.seal("secret", INTEGRATION_SECRET, "sec_1")


@pytest.mark.parametrize(("place", "row"), [(INTEGRATION_SECRET, "sec_2"), (SIGNING_SECRET, "sec_1")])
def test_a_copied_secret_does_not_open(place: tuple[str, str], row: str) -> None:
    sealing = Sealing(KEY, os.urandom)
    sealed = sealing.seal("secret", INTEGRATION_SECRET, "sec_1")
    with pytest.raises(SealingError, match="another row"):
        sealing.unseal(sealed, place, row)


def test_damage_is_noticed_at_every_byte() -> None:
    sealing = Sealing(KEY, os.urandom)
    sealed = sealing.seal("secret", INTEGRATION_SECRET, "sec_1")
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SealingError):
            sealing.unseal(bytes(damaged), INTEGRATION_SECRET, "sec_1")
        with pytest.raises(SealingError):
            sealing.unseal(sealed[:position], INTEGRATION_SECRET, "sec_1")


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealing(b"short", os.urandom)
