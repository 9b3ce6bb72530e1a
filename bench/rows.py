"""The table: which drives there are, and one entry for each row that is measured from them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.load import Result


@dataclass(frozen=True, slots=True)
class Drive:
    """One way to put load on one shape. `connections` are kept busy without a pause."""

    name: str
    shape: str
    connections: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What one drive of one round gave: the load generator's result, and µs of processor time per message."""

    result: Result
    cpu: Mapping[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Accepted replies a second."""
        return self.result.accepted / self.result.seconds if self.result.seconds else 0.0


Round = Mapping[str, Measured]
"""What one round gave, by the name of the drive."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a row's median must reach: at least, or at most, a value."""

    value: float
    at_least: bool = True

    def met(self, median: float) -> bool:
        """Whether a median reaches it."""
        return median >= self.value if self.at_least else median <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.value:,g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. An error in any of its `drives` fails it, whatever it measured."""

    name: str
    says: str
    unit: str
    drives: tuple[str, ...]
    value: Callable[[Round], float]
    target: Target | None = None


DRIVES = (
    Drive("production", shape="production", connections=64),
    Drive("hops", shape="hops", connections=64),
    Drive("embedded", shape="embedded", connections=64),
)

SERVICES = ("edge", "policycore", "sender")


def _rate(drive: str, says: str, target: Target | None = None) -> Row:
    return Row(f"{drive}_replies", says, "replies/s", (drive,), lambda found: found[drive].rate, target)


def _latency(drive: str, percent: int, target: Target | None = None) -> Row:
    def value(found: Round) -> float:
        result = found[drive].result
        return result.p50_ms if percent == 50 else result.p99_ms

    return Row(f"{drive}_p{percent}", f"  p{percent} of an answer", "ms", (drive,), value, target)


def _cpu(drive: str, process: str) -> Row:
    name, says = f"{drive}_cpu_{process}", f"  CPU per message: {process.replace('_', ' ')}"
    return Row(name, says, "µs", (drive,), lambda found: found[drive].cpu.get(process, 0.0))


def _services_cpu(drive: str) -> Row:
    def value(found: Round) -> float:
        return sum(found[drive].cpu.get(service, 0.0) for service in SERVICES)

    return Row(f"{drive}_cpu_services", "  CPU per message: the three services", "µs", (drive,), value)


def _share() -> Row:
    def value(found: Round) -> float:
        return found["production"].rate / found["hops"].rate if found["hops"].rate else 0.0

    says = "production ÷ bare hops, replies/s of the same round"
    return Row("production_share_of_hops", says, "", ("production", "hops"), value)


def _rest(drive: str, *beside: str) -> tuple[Row, ...]:
    """The rows below a rate."""
    processes = (*SERVICES, *beside)
    return (
        _latency(drive, 50),
        _latency(drive, 99, Target(60, at_least=False) if drive == "production" else None),
        *(_cpu(drive, process) for process in processes),
        _services_cpu(drive),
    )


ROWS = (
    _rate("production", "production shape: PostgreSQL, Redis, 64 connections", Target(2000)),
    *_rest("production", "postgresql", "redis", "instance", "load"),
    _rate("hops", "bare hops: same processes and wire, no logic, no storage"),
    *_rest("hops", "instance", "load"),
    _rate("embedded", "embedded shape: SQLite, three processes, 64 connections"),
    *_rest("embedded", "instance", "load"),
    _share(),
)
