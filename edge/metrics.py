"""What operators measure at the edge, in Prometheus' text format."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class EdgeMetrics:
    """Counters of one edge process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._requests = Counter(
            "hubgate_edge_requests",
            "Requests answered, by route, HTTP status and what came of them.",
            ("route", "http_status", "code"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hubgate_edge_request_seconds",
            "Seconds from the first byte to the answer, by route.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._by_answer: dict[tuple[str, int, str], Counter] = {}
        self._by_route: dict[str, Histogram] = {}
        self._refusals = Counter(
            "hubgate_edge_refusals",
            "Callers turned away, by route and real reason.",
            ("surface", "reason"),
            registry=self._registry,
        )
        self._credentials_age = Gauge(
            "hubgate_edge_credentials_age_seconds",
            "Seconds since the policy core last confirmed the credentials.",
            registry=self._registry,
        )
        self._credentials_version = Gauge(
            "hubgate_edge_credentials_version", "Version of the credentials in use.", registry=self._registry
        )

    def answered(self, route: str, http_status: int, code: str, seconds: float) -> None:
        """Counts one answer."""
        # Looked up once for each of the few combinations there are: finding a counter by its labels costs more than
        # counting.
        counter = self._by_answer.get((route, http_status, code))
        if counter is None:
            counter = self._requests.labels(route, str(http_status), code)
            self._by_answer[route, http_status, code] = counter
        histogram = self._by_route.get(route)
        if histogram is None:
            histogram = self._by_route[route] = self._seconds.labels(route)
        counter.inc()
        histogram.observe(seconds)

    def refused(self, surface: str, reason: str) -> None:
        """Counts one caller turned away."""
        self._refusals.labels(surface, reason).inc()

    def render(self, credentials_age_seconds: float, credentials_version: int) -> tuple[bytes, str]:
        """Body and content type of a scrape; the credentials' age and version are read now."""
        self._credentials_age.set(credentials_age_seconds)
        self._credentials_version.set(credentials_version)
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
