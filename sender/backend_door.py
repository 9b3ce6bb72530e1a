"""The door to back ends: https to anywhere that may be reached, plain http only within the operator's own ranges.

A back end such as Evolution API often runs beside the gateway, on a private network without TLS. Whoever allowed that
network by name has decided about it; customers' addresses get no such exception.
"""

from collections.abc import Callable

from sender.egress import Door
from sender.model import Exchange, HttpRequest


class BackendDoor:
    """Chooses between two doors by the scheme of the request."""

    def __init__(self, anywhere: Door, own_network: Door) -> None:
        self._anywhere = anywhere
        self._own_network = own_network

    async def exchange(
        self, request: HttpRequest, *, timeout_seconds: float, before_write: Callable[[], None]
    ) -> Exchange:
        """One try through the door that fits."""
        plain = request.url[:7].lower() == "http://"
        door = self._own_network if plain else self._anywhere
        return await door.exchange(request, timeout_seconds=timeout_seconds, before_write=before_write)
