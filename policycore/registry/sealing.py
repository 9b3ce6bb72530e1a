"""Owns the encryption of secrets at rest: AES-256-GCM with the master key.

A sealed value is `1 byte format, 1 byte length of the key id, key id, 12 bytes nonce, ciphertext with tag`.
The key id is derived from the key, so a wrong key is recognised before anything is decrypted. Table,
column and row are authenticated with the value: a sealed secret that somebody copies into another row does
not open there.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from policycore.errors import PolicyCoreError

_FORMAT = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12

INSTANCE_SECRETS = ("instances", "secrets_sealed")
INTEGRATION_SECRET = ("integration_secrets", "sealed")
SIGNING_SECRET = ("integrations", "signing_secret_sealed")
WEBHOOK_SECRET = ("customer_webhooks", "signing_secret_sealed")
THREECX_SMS_URL = ("threecx_sms", "webhook_url_sealed")
THREECX_API_SECRET = ("threecx_apis", "client_secret_sealed")
"""The places secrets are kept in: table and column."""


class SealingError(PolicyCoreError):
    """A secret cannot be opened: it was sealed with another key, moved, or damaged."""

    reason = "SEALED_WITH_ANOTHER_KEY"


class Sealing:
    """Seals with the current key, and opens with it or with one of the `retired` ones.

    `random_bytes` gives that many unpredictable bytes. Keys are 32 bytes; `ValueError` if one is not.
    """

    def __init__(
        self, key: bytes, random_bytes: Callable[[int], bytes], retired: Iterable[bytes] = ()
    ) -> None:
        keys = [key, *retired]
        if any(len(each) != _KEY_BYTES for each in keys):
            raise ValueError(f"a master key has {_KEY_BYTES} bytes")
        self._ciphers = {key_id(each): AESGCM(each) for each in keys}
        self._current = self.current = key_id(key)
        self._random_bytes = random_bytes

    def seal(self, secret: str, place: tuple[str, str], row_id: str) -> bytes:
        """The sealed form of `secret`, for this place (table, column) and row only."""
        name = self._current.encode("ascii")
        nonce = self._random_bytes(_NONCE_BYTES)
        ciphertext = self._ciphers[self._current].encrypt(
            nonce, secret.encode("utf-8"), _context(place, row_id)
        )
        return bytes((_FORMAT, len(name))) + name + nonce + ciphertext

    def unseal(self, sealed: bytes, place: tuple[str, str], row_id: str) -> str:
        """The secret behind `sealed`. Errors: `SealingError`, with one sentence for operators."""
        where = f"the secret in {place[0]} {row_id}"
        if len(sealed) < 2 or sealed[0] != _FORMAT:
            raise SealingError(f"{where} is not in a format this version knows")
        end = 2 + sealed[1]
        name = sealed[2:end].decode("ascii", "replace")
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise SealingError(
                f"{where} was sealed with master key {name[:16]!r}; HUBGATE_MASTER_KEY is {self._current!r}"
            )
        try:
            plain = cipher.decrypt(
                sealed[end : end + _NONCE_BYTES], sealed[end + _NONCE_BYTES :], _context(place, row_id)
            )
        except (InvalidTag, ValueError):
            raise SealingError(f"{where} was damaged, or belongs to another row") from None
        return plain.decode("utf-8")


def sealed_with(sealed: bytes) -> str:
    """The id of the key a value was sealed with; empty if its format is not known."""
    if len(sealed) < 2 or sealed[0] != _FORMAT:
        return ""
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace")


def key_id(key: bytes) -> str:
    """Name of a master key: 8 characters that tell nothing about it."""
    return sha256(b"hubgate-master-key-id\x00" + key).hexdigest()[:8]


def _context(place: tuple[str, str], row_id: str) -> bytes:
    return "\x00".join((*place, row_id)).encode("utf-8")
