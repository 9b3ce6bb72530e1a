"""Where Redis is: one server, or the members of a cluster that are asked first. Pure."""

from dataclasses import dataclass
from urllib.parse import unquote

SCHEMES = ("redis://", "rediss://", "unix://")
CLUSTER_SCHEMES = {"redis+cluster": False, "rediss+cluster": True}
"""Schemes of a cluster, and whether they are encrypted."""

_PORT = 6379


@dataclass(frozen=True, slots=True, repr=False)
class ClusterAddress:
    """Some members of a cluster; they tell of the others."""

    members: tuple[tuple[str, int], ...]
    encrypted: bool
    username: str | None
    password: str | None


def cluster_of(url: str) -> ClusterAddress | None:
    """The cluster that `redis+cluster://[user:password@]host:port,host:port,…` names; None for another scheme.

    Raises ValueError, without the URL's secrets, if it names no cluster.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in CLUSTER_SCHEMES:
        return None
    secrets, _, hosts = rest.removesuffix("/").rpartition("@")
    if "/" in hosts or "?" in hosts:
        raise ValueError("must end after the members: a cluster has one database, and no options here")
    username, _, password = secrets.partition(":")
    members = tuple(_member(each) for each in hosts.split(","))
    return ClusterAddress(
        members,
        CLUSTER_SCHEMES[scheme],
        unquote(username) or None,
        unquote(password) or None,
    )


def _member(written: str) -> tuple[str, int]:
    host, colon, port = written.strip().rpartition(":")
    if not colon or "]" in port:
        host, port = written.strip(), str(_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError("must name its members as host:port, separated by commas")
    return host, int(port)
