"""The edge's settings: read once from HUBGATE_* variables, checked, and never changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

from edge.errors import SettingsError
from edge.model import Network
from edge.public_address import read_public_url
from edge.webhooks.authenticate import parse_address, parse_network

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
SANDBOX_MODES: Final = ("open", "admin", "off")
ENVIRONMENTS: Final = ("development", "production")
LONGEST_LEAVE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a socket listens. Port 0 lets the system choose."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the edge can be told."""

    token: str = field(repr=False)
    listen: Listen = Listen("127.0.0.1", 8080)
    policycore_address: str = "127.0.0.1:8071"
    trusted_proxies: tuple[Network, ...] = ()
    metrics_listen: Listen | None = None
    sandbox: Literal["open", "admin", "off"] = "off"
    environment: str = "production"
    log_level: str = "info"
    tls_folder: Path | None = None
    leave_seconds: int = 0
    public_url: str = ""


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from an environment. Raises SettingsError with one sentence that names the variable."""
    # While the token is changed there are two, and the first is the one to show.
    token = environ.get("HUBGATE_EDGE_TOKEN", "").partition(",")[0].strip()
    if not token:
        raise SettingsError("HUBGATE_EDGE_TOKEN must be set to the service token of the edge.")
    if not token.isascii() or not token.isprintable():
        raise SettingsError("HUBGATE_EDGE_TOKEN must consist of printable ASCII characters.")
    metrics = environ.get("HUBGATE_EDGE_METRICS_LISTEN", "").strip()
    core = environ.get("HUBGATE_POLICYCORE_ADDRESS", "").strip() or "127.0.0.1:8071"
    if not core.startswith("unix:"):
        _listen("HUBGATE_POLICYCORE_ADDRESS", core)
    environment = _one_of(environ, "HUBGATE_ENVIRONMENT", ENVIRONMENTS, default="production")
    listen = _listen(
        "HUBGATE_EDGE_LISTEN", environ.get("HUBGATE_EDGE_LISTEN", "").strip() or "127.0.0.1:8080"
    )
    guarded = "off" if environment == "production" else "admin"
    sandbox = _one_of(environ, "HUBGATE_SANDBOX", SANDBOX_MODES, guarded)
    if sandbox == "open" and not _is_loopback(listen.host):
        raise SettingsError(
            "HUBGATE_SANDBOX can be open only where HUBGATE_EDGE_LISTEN is a loopback address; use admin elsewhere."
        )
    return Settings(
        token=token,
        listen=listen,
        policycore_address=core,
        trusted_proxies=_networks("HUBGATE_TRUSTED_PROXIES", environ.get("HUBGATE_TRUSTED_PROXIES", "")),
        metrics_listen=_listen("HUBGATE_EDGE_METRICS_LISTEN", metrics) if metrics else None,
        sandbox=cast(Literal["open", "admin", "off"], sandbox),
        environment=environment,
        log_level=_one_of(environ, "HUBGATE_LOG_LEVEL", LOG_LEVELS, default="info"),
        tls_folder=Path(folder) if (folder := environ.get("HUBGATE_TLS_FOLDER", "").strip()) else None,
        leave_seconds=_seconds(environ, "HUBGATE_EDGE_LEAVE_SECONDS"),
        public_url=_public_url(environ),
    )


def _listen(name: str, written: str) -> Listen:
    host, colon, port = written.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise SettingsError(f"{name} must be host:port, for example 127.0.0.1:8080, and is {written!r}.")
    return Listen(host, int(port))


def _is_loopback(host: str) -> bool:
    address = parse_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _networks(name: str, written: str) -> tuple[Network, ...]:
    networks: list[Network] = []
    for part in written.replace(",", " ").split():
        network = parse_network(part)
        if network is None:
            raise SettingsError(f"{name} must list addresses or CIDR blocks, and {part!r} is neither.")
        networks.append(network)
    return tuple(networks)


def _seconds(environ: Mapping[str, str], name: str) -> int:
    written = environ.get(name, "").strip() or "0"
    if not (written.isascii() and written.isdigit()) or int(written[:9]) > LONGEST_LEAVE_SECONDS:
        raise SettingsError(
            f"{name} must be seconds from 0 to {LONGEST_LEAVE_SECONDS}, and is {written[:20]!r}."
        )
    return int(written)


def _public_url(environ: Mapping[str, str]) -> str:
    written = environ.get("HUBGATE_PUBLIC_URL", "").strip()
    if not written:
        return ""
    url = read_public_url(written)
    if url is None:
        # Not shown: what is wrong with it may be a password in it.
        raise SettingsError(
            "HUBGATE_PUBLIC_URL must be the gateway's address and nothing more, for example https://gateway.example.com."
        )
    return url


def _one_of(environ: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    written = environ.get(name, "").strip().lower() or default
    if written not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}, and is {written!r}.")
    return written
