"""What the policy core counts: decisions, outcomes, batches, what waits."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Counters of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.decisions = Counter(
            "hubgate_decisions_total",
            "Decisions by verdict and reason.",
            ("verdict", "reason"),
            registry=self.registry,
        )
        self.submit_seconds = Histogram(
            "hubgate_submit_seconds",
            "Time from a request's arrival at the policy core to its answer.",
            buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8),
            registry=self.registry,
        )
        self.events = Counter(
            "hubgate_inbound_events_total",
            "Inbound events by whether they were new.",
            ("kind",),
            registry=self.registry,
        )
        self.configuration_age = Gauge(
            "hubgate_configuration_age_seconds",
            "Seconds since the configuration was last known to be the newest.",
            registry=self.registry,
        )
        self.senders_available = Gauge(
            "hubgate_sender_available", "1 if a sender takes work now, else 0.", registry=self.registry
        )
        self._watch_instances()
        self._watch_promises()

    def _watch_instances(self) -> None:
        self.unknown_messages = Gauge(
            "hubgate_unknown_messages",
            "Messages of which nobody knows whether they left.",
            registry=self.registry,
        )
        self.unknown_to_settle = Gauge(
            "hubgate_unknown_messages_to_settle",
            "Those of them that have waited 24 hours and need a person.",
            registry=self.registry,
        )
        self.instances_unacknowledged = Gauge(
            "hubgate_instances_unacknowledged",
            "Instances that do not acknowledge what they accept, whatever state they report.",
            registry=self.registry,
        )
        self.held_back = Gauge(
            "hubgate_instance_held_back",
            "1 for an instance that this process sends nothing new through: unanswered or busy.",
            ("instance_id", "why"),
            registry=self.registry,
        )
        self.breaker_openings = Gauge(
            "hubgate_instance_breaker_openings",
            "How often this process has begun to hold an instance back because its back end did not answer.",
            registry=self.registry,
        )

    def _watch_promises(self) -> None:
        self.invariants_checked = Counter(
            "hubgate_invariant_checked_total",
            "What this process held against an invariant.",
            ("invariant",),
            registry=self.registry,
        )
        self.invariants_violated = Counter(
            "hubgate_invariant_violations_total",
            "New violations of an invariant that this process found.",
            ("invariant",),
            registry=self.registry,
        )
        self.invariants_ran = Gauge(
            "hubgate_invariants_last_run_timestamp_seconds",
            "When this process last ran the invariants, in seconds since 1970.",
            registry=self.registry,
        )
        self.invariants_behind = Gauge(
            "hubgate_invariants_behind_seconds",
            "How far behind the present the invariants were after this process's last run.",
            registry=self.registry,
        )
        self.retention_strays = Gauge(
            "hubgate_retention_months_without_partition",
            "Months whose decisions are in the default partition, as this process last saw.",
            registry=self.registry,
        )

    def show_held_back(self, held: Mapping[str, str], openings: int) -> None:
        """Shows the instances that are held back, and no others."""
        self.held_back.clear()
        for instance_id, why in held.items():
            self.held_back.labels(instance_id, why).set(1)
        self.breaker_openings.set(openings)
