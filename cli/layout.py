"""Owns what `hubgate up` decides before it starts anything: keys, ports, and each service's environment."""

import base64
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cli.data_folder import ADMIN_TOKEN_FILE, DataFolder, RandomBytes, new_key, new_permit_key, new_token
from cli.errors import CliError, ExitCode

POLICYCORE_PORT = 8071
SENDER_PORT = 8072
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is reached, and what the services are started with."""

    base_url: str
    policycore_address: str
    sender_address: str
    admin_token: str = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)


def make_layout(
    folder: DataFolder,
    environ: Mapping[str, str],
    host: str,
    port: int,
    random_bytes: RandomBytes,
    *,
    demo: bool,
) -> Layout:
    """Creates, once, the keys and tokens in the folder, and chooses ports. Errors: `CliError`.

    What the environment says wins over the folder's files.
    """
    _require_free(host, port)
    core = f"{_LOOPBACK}:{_free_port(POLICYCORE_PORT, taken=())}"
    sender = f"{_LOOPBACK}:{_free_port(SENDER_PORT, taken=(int(core.rpartition(':')[2]),))}"
    made = {
        "HUBGATE_MASTER_KEY": folder.keep("master.key", lambda: new_key(random_bytes)),
        "HUBGATE_PERMIT_KEY": folder.keep("permit.key", lambda: new_permit_key(random_bytes)),
        "HUBGATE_EDGE_TOKEN": folder.keep("edge.token", lambda: new_token(random_bytes)),
        "HUBGATE_ADMIN_TOKEN": folder.keep(ADMIN_TOKEN_FILE, lambda: new_token(random_bytes)),
        "HUBGATE_SENDER_TOKEN": folder.keep("sender.token", lambda: new_token(random_bytes)),
        "HUBGATE_ENVIRONMENT": "development",
        "HUBGATE_SANDBOX": "open" if demo and is_loopback(host) else "admin",
        "HUBGATE_DATABASE_URL": f"sqlite+aiosqlite:///{folder.path / 'hubgate.db'}",
    }
    written = {name: value for name, value in environ.items() if value.strip()}
    fixed = {
        "HUBGATE_DATA": str(folder.path),
        "HUBGATE_EDGE_LISTEN": f"{_bracketed(host)}:{port}",
        "HUBGATE_POLICYCORE_LISTEN": core,
        "HUBGATE_POLICYCORE_ADDRESS": core,
        "HUBGATE_SENDER_LISTEN": sender,
        "HUBGATE_SENDER_ADDRESSES": sender,
        # Three processes of one owner on one loopback address: there is nobody to keep out.
        "HUBGATE_TLS_FOLDER": "",
    }
    whole = {**made, **written, **fixed}
    whole["HUBGATE_PERMIT_PUBLIC_KEYS"] = public_key(whole["HUBGATE_PERMIT_KEY"])
    return Layout(
        base_url=f"http://{_bracketed(_reachable(host))}:{port}",
        policycore_address=core,
        sender_address=sender,
        admin_token=whole["HUBGATE_ADMIN_TOKEN"].partition(",")[0].strip(),
        environ=whole,
    )


def public_key(permit_key: str) -> str:
    """The public half of `id:base64 seed`, in the same form. Errors: `CliError`."""
    key_id, _, encoded = permit_key.partition(":")
    try:
        private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(encoded, validate=True))
    except ValueError:
        raise CliError(
            ExitCode.USAGE, "HUBGATE_PERMIT_KEY (permit.key) must be a name, a colon and 32 bytes in base64."
        ) from None
    return f"{key_id}:{base64.b64encode(private.public_key().public_bytes_raw()).decode('ascii')}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _require_free(host: str, port: int) -> None:
    try:
        _bind(host, port)
    except OverflowError:
        raise CliError(ExitCode.USAGE, f"Port {port} is not one: it must lie between 1 and 65535.") from None
    except OSError as error:
        raise CliError(
            ExitCode.USAGE,
            f"The edge cannot listen on {_bracketed(host)}:{port}: {_why(error)}. Choose another port"
            " with HUBGATE_PORT or --port.",
        ) from error


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _free_port(wanted: int, taken: tuple[int, ...]) -> int:
    for port in (wanted, 0, 0, 0):
        try:
            found = _bind(_LOOPBACK, port)
        except OSError:
            continue
        if found not in taken:
            return found
    raise CliError(ExitCode.PROBLEM, "There is no free port on 127.0.0.1.")


def _bind(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listener:
        return int(listener.getsockname()[1])


def _reachable(host: str) -> str:
    return {"0.0.0.0": _LOOPBACK, "::": "::1"}.get(host, host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
