"""What every door of the edge shares: fresh credentials, the caller's address, and a record of who was
turned away.
"""

from collections.abc import Callable

from edge.credentials import CredentialCache
from edge.http import HttpRequest
from edge.metrics import EdgeMetrics
from edge.model import Address, Network
from edge.refusals import RefusalLog
from edge.webhooks.authenticate import client_address


class Gate:
    """Credentials, clocks and the refusal log, as one thing to hand to the routes.

    `now` gives Unix seconds, `monotonic` the seconds of a clock that never steps.
    """

    def __init__(
        self,
        credentials: CredentialCache,
        refusals: RefusalLog,
        metrics: EdgeMetrics,
        trusted_proxies: tuple[Network, ...],
        now: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.credentials = credentials
        self.now = now
        self.monotonic = monotonic
        self._refusals = refusals
        self._metrics = metrics
        self._trusted_proxies = trusted_proxies

    def credentials_fresh(self) -> bool:
        """Whether callers may be judged; if not, every one of them is answered 503."""
        return self.credentials.fresh(self.monotonic())

    def address(self, request: HttpRequest) -> Address | None:
        """The caller's address, through trusted proxies; None if it cannot be known."""
        return client_address(request.peer, request.headers.get("x-forwarded-for"), self._trusted_proxies)

    def refused(self, surface: str, target: str, reason: str, request: HttpRequest) -> None:
        """Records that a caller was turned away, and why."""
        address = self.address(request)
        source = str(address) if address is not None else (request.peer or "")
        self._refusals.refused(surface, target, reason, source, self.now())
        self._metrics.refused(surface, reason)

    def used(self, credential_id: str) -> None:
        """Marks a secret or key as used now."""
        self._refusals.used(credential_id, self.now())
