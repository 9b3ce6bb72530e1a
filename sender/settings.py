"""The sender's settings: read once, from a mapping that is passed in, and frozen."""

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sender.addresses import Network

_SHORTEST_TOKEN = 16
_LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """A setting is wrong. The text is one sentence that names the variable, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the sender is told. `listen` and `metrics_listen` are `host:port`."""

    listen: str
    tokens: tuple[str, ...] = field(repr=False)
    permit_public_keys: Mapping[str, Ed25519PublicKey]
    allowed_private_ranges: tuple[Network, ...] = ()
    development: bool = False
    metrics_listen: str = ""
    log_level: str = "info"
    tls_folder: Path | None = None


def read_settings(env: Mapping[str, str]) -> Settings:
    """Settings from `HUBGATE_*` variables. Raises `SettingsError`."""
    return Settings(
        listen=_address(env, "HUBGATE_SENDER_LISTEN", "127.0.0.1:8072"),
        tokens=_tokens(env),
        permit_public_keys=_keys(env),
        allowed_private_ranges=_ranges(env),
        development=_choice(env, "HUBGATE_ENVIRONMENT", ("production", "development")) == "development",
        metrics_listen=_address(env, "HUBGATE_SENDER_METRICS_LISTEN", ""),
        log_level=_choice(env, "HUBGATE_LOG_LEVEL", _LOG_LEVELS, "info"),
        tls_folder=Path(folder) if (folder := env.get("HUBGATE_TLS_FOLDER", "").strip()) else None,
    )


def _address(env: Mapping[str, str], name: str, default: str) -> str:
    value = env.get(name, "").strip() or default
    if not value:
        return ""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise SettingsError(f"{name} must be host:port with a port from 0 to 65535, such as 127.0.0.1:8072.")
    return value


def _tokens(env: Mapping[str, str]) -> tuple[str, ...]:
    """The token, and while it is changed the other one."""
    tokens = tuple(part.strip() for part in env.get("HUBGATE_SENDER_TOKEN", "").split(",") if part.strip())
    if len(tokens) > 2:
        raise SettingsError(
            "HUBGATE_SENDER_TOKEN must hold one token, or two with a comma while it is changed."
        )
    for token in tokens or ("",):
        if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
            raise SettingsError(
                f"HUBGATE_SENDER_TOKEN must be set to at least {_SHORTEST_TOKEN} printable ASCII characters."
            )
    return tokens


def _keys(env: Mapping[str, str]) -> Mapping[str, Ed25519PublicKey]:
    name = "HUBGATE_PERMIT_PUBLIC_KEYS"
    keys: dict[str, Ed25519PublicKey] = {}
    for part in filter(None, (piece.strip() for piece in env.get(name, "").split(","))):
        key_id, colon, encoded = part.partition(":")
        if not colon or not key_id or key_id in keys:
            raise SettingsError(f"{name} must be id:base64 pairs with different ids, separated by commas.")
        try:
            keys[key_id] = Ed25519PublicKey.from_public_bytes(_base64(encoded))
        except (binascii.Error, ValueError) as error:
            raise SettingsError(
                f"{name}: key {key_id} is not the base64 of a raw Ed25519 public key."
            ) from error
    if not keys:
        raise SettingsError(f"{name} must name at least one key, as id:base64.")
    return keys


def _base64(text: str) -> bytes:
    """Standard or URL-safe base64, with or without padding. Raises ValueError."""
    bare = text.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


def _ranges(env: Mapping[str, str]) -> tuple[Network, ...]:
    name = "HUBGATE_ALLOWED_PRIVATE_RANGES"
    ranges: list[Network] = []
    for part in filter(None, (piece.strip() for piece in env.get(name, "").split(","))):
        try:
            ranges.append(ipaddress.ip_network(part))
        except ValueError as error:
            raise SettingsError(
                f"{name}: {part} is not a network such as 10.1.0.0/16 or fd00::/8."
            ) from error
    return tuple(ranges)


def _choice(env: Mapping[str, str], name: str, words: tuple[str, ...], default: str = "") -> str:
    value = env.get(name, "").strip().lower() or default or words[0]
    if value not in words:
        raise SettingsError(f"{name} must be one of: {', '.join(words)}.")
    return value
