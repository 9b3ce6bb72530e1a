"""What operators see of attempts and posts: metrics and logs, without text, secrets or full numbers."""

from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sender.model import AttemptResult, LookUpResult, Order, Outcome, PostResult

_BACKENDS = frozenset({"evolution", "cloud_api", "waha", "sandbox"})
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Recorder:
    """Counts and logs. Metrics live in the registry that is passed in."""

    def __init__(self, registry: CollectorRegistry, logger: Any = None) -> None:
        # Bound once: the unbound one looks up its settings at every line.
        self._log = logger or structlog.get_logger("sender").bind()
        self._attempts = Counter(
            "hubgate_sender_attempts_total", "Attempts.", ["backend", "outcome"], registry=registry
        )
        self._attempt_seconds = Histogram(
            "hubgate_sender_attempt_seconds",
            "Time of an attempt.",
            ["backend"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._children: dict[tuple[str, Outcome], tuple[Counter, Histogram, str]] = {}
        self._posts = Counter(
            "hubgate_sender_posts_total", "Events posted.", ["kind", "outcome"], registry=registry
        )
        self._look_ups = Counter(
            "hubgate_sender_look_ups_total",
            "Looks for messages whose outcome is unknown.",
            ["backend", "outcome"],
            registry=registry,
        )
        self._guard_streams = Gauge("hubgate_sender_guard_streams", "Open guard streams.", registry=registry)

    def attempt(self, order: Order, found: AttemptResult, seconds: float) -> None:
        """One attempt is over. `seconds` is how long it took."""
        backend = _label(order.connection.backend)
        counter, histogram, outcome = self._of(backend, found.outcome)
        counter.inc()
        histogram.observe(seconds)
        log = self._log.debug if found.outcome is Outcome.ACCEPTED else self._log.info
        claims = order.permit.claims
        log(
            "attempt",
            message_id=claims.message_id,
            permit_id=claims.permit_id,
            instance_id=order.connection.instance_id,
            backend=backend,
            outcome=outcome,
            code=found.code,
            http_status=found.http_status,
            milliseconds=round(seconds * 1000, 1),
        )

    def _of(self, backend: str, outcome: Outcome) -> tuple[Counter, Histogram, str]:
        """The counter and histogram of these labels and the outcome's name, looked up once."""
        child = self._children.get((backend, outcome))
        if child is None:
            name = outcome.name
            child = self._attempts.labels(backend, name), self._attempt_seconds.labels(backend), name
            self._children[backend, outcome] = child
        return child

    def fault(self, order: Order) -> None:
        """An error of our own. Call it where the exception is being handled."""
        self._log.exception(
            "attempt_fault", message_id=order.permit.claims.message_id, backend=order.connection.backend
        )

    def post(self, kind: str, delivery_id: str, found: PostResult, seconds: float) -> None:
        """One event was posted, or not."""
        self._posts.labels(kind, found.outcome.name).inc()
        self._log.debug(
            "post",
            delivery_id=delivery_id,
            kind=kind,
            outcome=found.outcome.name,
            http_status=found.http_status,
            milliseconds=round(seconds * 1000, 1),
        )

    def look_up(self, backend: str, found: LookUpResult) -> None:
        """A back end was looked at, or not."""
        self._look_ups.labels(_label(backend), found.outcome.name).inc()
        self._log.info("look_up", backend=_label(backend), outcome=found.outcome.name, reason=found.reason)

    def guard_stream(self, speaker_id: str, *, opened: bool) -> None:
        """A policy core began or ended to speak."""
        self._guard_streams.inc(1 if opened else -1)
        self._log.info("guard_stream", speaker_id=speaker_id, opened=opened)


def _label(backend: str) -> str:
    """Keeps labels few, whatever callers send."""
    return backend if backend in _BACKENDS else "other"
