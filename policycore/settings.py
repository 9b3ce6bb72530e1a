"""Owns the policy core's configuration: one frozen `Settings`, read once from `HUBGATE_*` variables.

Every variable is described in `docs/configuration.md`.
"""

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from policycore.bounds import RANGES, Bounds, Range
from policycore.counters.address import SCHEMES, cluster_of

_KEY_BYTES = 32
_TOKEN_CHARACTERS = 20
_LOG_LEVELS = ("debug", "info", "warning", "error")
_LONGEST_INTERVAL = 86_400
_MOST_MONTHS = 1_200
_MOST_DAYS = 36_500


class SettingsError(ValueError):
    """A variable is missing or wrong. The text is one sentence that names it and never repeats a secret."""


@dataclass(frozen=True, slots=True)
class PermitKey:
    """The key permits are signed with. `seed` is the 32 bytes of an Ed25519 private key."""

    key_id: str
    seed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the policy core is started with. Secrets do not show in its representation.

    Of `master_keys`, `edge_tokens` and `admin_tokens` the first is the current one; a second counts beside it.
    """

    data: Path
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    master_keys: tuple[bytes, ...] = field(repr=False)
    permit_key: PermitKey
    edge_tokens: tuple[str, ...] = field(repr=False)
    admin_tokens: tuple[str, ...] = field(repr=False)
    sender_token: str = field(repr=False)
    sender_addresses: tuple[str, ...]
    listen: str
    metrics_listen: str | None
    environment: str
    log_level: str
    invariants_every_seconds: int
    log_retention_months: int
    text_retention_days: int
    bounds: Bounds
    tls_folder: Path | None = None

    @property
    def development(self) -> bool:
        """True where plain HTTP to customers' systems and gRPC reflection are allowed."""
        return self.environment == "development"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in `environ`. Errors: `SettingsError` for the first variable that is wrong."""
    environment = _choice(environ, "HUBGATE_ENVIRONMENT", "production", ("development", "production"))
    data = Path(_text(environ, "HUBGATE_DATA", ".hubgate"))
    edge_tokens = _tokens(environ, "HUBGATE_EDGE_TOKEN")
    admin_tokens = _tokens(environ, "HUBGATE_ADMIN_TOKEN")
    if set(edge_tokens) & set(admin_tokens):
        raise SettingsError(
            "HUBGATE_ADMIN_TOKEN must differ from HUBGATE_EDGE_TOKEN: they carry different rights."
        )
    return Settings(
        data=data,
        database_url=read_database_url(environ),
        redis_url=_redis_url(environ),
        master_keys=read_master_keys(environ),
        permit_key=_permit_key(environ),
        edge_tokens=edge_tokens,
        admin_tokens=admin_tokens,
        sender_token=_tokens(environ, "HUBGATE_SENDER_TOKEN")[0],
        sender_addresses=_addresses(environ, "HUBGATE_SENDER_ADDRESSES", "127.0.0.1:8072"),
        listen=_addresses(environ, "HUBGATE_POLICYCORE_LISTEN", "127.0.0.1:8071", only_one=True)[0],
        metrics_listen=_optional_address(environ, "HUBGATE_POLICYCORE_METRICS_LISTEN"),
        environment=environment,
        log_level=_choice(environ, "HUBGATE_LOG_LEVEL", "info", _LOG_LEVELS),
        invariants_every_seconds=_interval(environ, "HUBGATE_INVARIANTS_EVERY_SECONDS", "300"),
        log_retention_months=_kept_for(environ, "HUBGATE_LOG_RETENTION_MONTHS", "months", _MOST_MONTHS),
        text_retention_days=_kept_for(environ, "HUBGATE_TEXT_RETENTION_DAYS", "days", _MOST_DAYS),
        bounds=_bounds(environ),
        tls_folder=_folder(environ, "HUBGATE_TLS_FOLDER"),
    )


def read_database_url(environ: Mapping[str, str]) -> str:
    """SQLAlchemy's URL of the database: `sqlite+aiosqlite:` or `postgresql+asyncpg:`.

    Without HUBGATE_DATABASE_URL it is a file in the data folder. Errors: `SettingsError`.
    """
    name = "HUBGATE_DATABASE_URL"
    written = _text(environ, name, "")
    if not written:
        data = Path(_text(environ, "HUBGATE_DATA", ".hubgate"))
        return f"sqlite+aiosqlite:///{(data / 'hubgate.db').absolute()}"
    scheme, separator, _ = written.partition("://")
    if not separator:
        raise SettingsError(f"{name} must be a URL such as postgresql://user:password@host/database.")
    if scheme in {"sqlite", "sqlite+aiosqlite"}:
        if len(written) <= len(scheme) + 4:
            raise SettingsError(f"{name} must name a file, such as sqlite:////var/lib/hubgate/hubgate.db.")
        return "sqlite+aiosqlite" + written[len(scheme) :]
    if scheme in {"postgres", "postgresql", "postgresql+asyncpg"}:
        return _postgresql_url(name, written)
    raise SettingsError(
        f"{name} must begin with postgresql:// or sqlite:// (got the scheme {scheme[:20]!r})."
    )


def read_master_keys(environ: Mapping[str, str]) -> tuple[bytes, ...]:
    """The key of 32 bytes that secrets at rest are sealed with, and perhaps another that opens them as well.

    Errors: `SettingsError`.
    """
    name = "HUBGATE_MASTER_KEY"
    return tuple(_decoded_key(name, each) for each in _one_or_two(name, _required(environ, name)))


def _postgresql_url(name: str, written: str) -> str:
    try:
        parts = urlsplit(written)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError:
        port_is_sound = False
        parts = urlsplit("//")
    if not port_is_sound:
        raise SettingsError(f"{name} has a port that is not a number between 1 and 65535.")
    if len(parts.path) < 2:
        raise SettingsError(f"{name} must name a database after the host.")
    # libpq calls it sslmode, asyncpg ssl; the values are the same.
    renamed = [("ssl" if key == "sslmode" else key, value) for key, value in parse_qsl(parts.query)]
    query = urlencode(renamed, safe="/", quote_via=quote)
    return f"postgresql+asyncpg://{parts.netloc}{parts.path}" + (f"?{query}" if query else "")


def _redis_url(environ: Mapping[str, str]) -> str | None:
    written = _text(environ, "HUBGATE_REDIS_URL", "")
    if not written:
        return None
    try:
        cluster = cluster_of(written)
    except ValueError as error:
        raise SettingsError(f"HUBGATE_REDIS_URL {error}.") from None
    if cluster is None and not written.startswith(SCHEMES):
        raise SettingsError(
            "HUBGATE_REDIS_URL must begin with redis://, rediss:// or unix://, or for a cluster with redis+cluster://"
            " or rediss+cluster://."
        )
    return written


def _permit_key(environ: Mapping[str, str]) -> PermitKey:
    name = "HUBGATE_PERMIT_KEY"
    key_id, separator, encoded = _required(environ, name).partition(":")
    if not separator or not key_id.isascii() or not key_id.replace("-", "").replace("_", "").isalnum():
        raise SettingsError(f"{name} must be a short name, a colon and 32 bytes in base64.")
    return PermitKey(key_id=key_id, seed=_decoded_key(name, encoded))


def _decoded_key(name: str, encoded: str) -> bytes:
    try:
        key = base64.b64decode(
            encoded.strip(), altchars=b"-_" if {"-", "_"} & set(encoded) else None, validate=True
        )
    except (binascii.Error, ValueError):
        raise SettingsError(f"{name} must hold base64, and does not.") from None
    if len(key) != _KEY_BYTES:
        raise SettingsError(f"{name} must hold {_KEY_BYTES} bytes in base64, and holds {len(key)}.")
    return key


def _one_or_two(name: str, written: str) -> list[str]:
    """What stands between commas: the current one, and while it is changed the other one."""
    parts = [part.strip() for part in written.split(",") if part.strip()]
    if not 1 <= len(parts) <= 2 or len(set(parts)) != len(parts):
        raise SettingsError(f"{name} must hold one, or two different ones with a comma while it is changed.")
    return parts


def _tokens(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(_checked_token(name, each) for each in _one_or_two(name, _required(environ, name)))


def _checked_token(name: str, token: str) -> str:
    if len(token) < _TOKEN_CHARACTERS:
        raise SettingsError(
            f"{name} must have at least {_TOKEN_CHARACTERS} characters, and has {len(token)}."
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(f"{name} may hold only printable ASCII characters without spaces.")
    return token


def _addresses(
    environ: Mapping[str, str], name: str, default: str, *, only_one: bool = False
) -> tuple[str, ...]:
    written = _text(environ, name, default)
    addresses = tuple(part.strip() for part in written.split(",") if part.strip())
    if not addresses:
        raise SettingsError(f"{name} must name at least one host:port.")
    if only_one and len(addresses) != 1:
        raise SettingsError(f"{name} must be one host:port, and holds {len(addresses)}.")
    for address in addresses:
        _check_address(name, address)
    return addresses


def _optional_address(environ: Mapping[str, str], name: str) -> str | None:
    written = _text(environ, name, "")
    if not written:
        return None
    _check_address(name, written)
    return written


def _check_address(name: str, address: str) -> None:
    if address.startswith("unix:") and len(address) > len("unix:"):
        return
    host, separator, port = address.rpartition(":")
    sound_port = port.isascii() and port.isdigit() and 0 <= int(port) <= 65535
    if not separator or not host or not sound_port:
        raise SettingsError(f"{name} must be host:port, such as 127.0.0.1:8071, and is {address[:60]!r}.")
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host.strip("[]"))
        except ValueError:
            raise SettingsError(f"{name} holds an IPv6 address that is not one: {host[:60]!r}.") from None


def _choice(environ: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = _text(environ, name, default).lower()
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}, and is {value[:40]!r}.")
    return value


def _interval(environ: Mapping[str, str], name: str, default: str) -> int:
    """Seconds between two runs; 0 is never."""
    written = _text(environ, name, default)
    seconds = int(written) if written.isascii() and written.isdigit() and len(written) < 9 else -1
    if not 0 <= seconds <= _LONGEST_INTERVAL:
        raise SettingsError(
            f"{name} must be seconds from 1 to {_LONGEST_INTERVAL}, or 0 for never, and is {written[:20]!r}."
        )
    return seconds


def _kept_for(environ: Mapping[str, str], name: str, unit: str, most: int) -> int:
    """How long something is kept; 0 is for ever."""
    written = _text(environ, name, "0")
    count = int(written) if written.isascii() and written.isdigit() and len(written) < 9 else -1
    if not 0 <= count <= most:
        raise SettingsError(
            f"{name} must be {unit} from 1 to {most}, or 0 for ever, and is {written[:20]!r}."
        )
    return count


def _bounds(environ: Mapping[str, str]) -> Bounds:
    """The bounds, each as it is set or else at its default."""
    found = {name: _number(environ, each) for name, each in RANGES.items()}
    return Bounds(**{name: number for name, number in found.items() if number is not None})


def _number(environ: Mapping[str, str], wanted: Range) -> int | None:
    written = _text(environ, wanted.variable, "")
    if not written:
        return None
    number = int(written) if written.isascii() and written.isdigit() and len(written) < 9 else -1
    if not wanted.least <= number <= wanted.most:
        raise SettingsError(
            f"{wanted.variable} must be a whole number from {wanted.least} to {wanted.most},"
            f" and is {written[:20]!r}."
        )
    return number


def _folder(environ: Mapping[str, str], name: str) -> Path | None:
    written = _text(environ, name, "")
    return Path(written) if written else None


def _required(environ: Mapping[str, str], name: str) -> str:
    value = _text(environ, name, "")
    if not value:
        raise SettingsError(f"{name} is not set; `hubgate up` makes one, see docs/configuration.md.")
    return value


def _text(environ: Mapping[str, str], name: str, default: str) -> str:
    return environ.get(name, "").strip() or default
