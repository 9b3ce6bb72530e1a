"""Every fault that is tried, by name: what it is, and how long what was written may be on its way meanwhile."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from faults import clock, outside_faults, server_faults
from faults.kills import Reaper
from faults.scene import Scene


@dataclass(frozen=True, slots=True)
class Fault:
    """`during` makes the fault while the company works. With a `border`, the world's clocks cross it meanwhile.

    `slack_seconds` is how long the network may hold up what was written; `zone` is that of the small quota.
    """

    name: str
    during: Callable[[Scene], Awaitable[None]]
    slack_seconds: float = 0.0
    border: clock.Border | None = None
    zone: str = ""
    kills: bool = False
    needs_root: bool = False


async def _kills(scene: Scene) -> None:
    await Reaper(scene.world.services, scene.rng).reap(scene.seconds)


async def _nothing(_: Scene) -> None:
    """The border itself is the fault."""


KILLS: Final = "kill at every step"
_NEW_YORK = "America/New_York"
_FAULTS: Final = (
    Fault(KILLS, _kills, kills=True),
    Fault("deploy: rolling restart", server_faults.rolling_restart),
    Fault("deploy: secrets rotated", server_faults.rotated_secrets),
    Fault("redis: gone", server_faults.redis_gone),
    Fault("redis: slow, 5 s", server_faults.redis_slow),
    Fault("redis: read-only", server_faults.redis_read_only),
    Fault("redis: flushed", server_faults.redis_flushed),
    Fault("redis: failed over, last second lost", server_faults.redis_failed_over),
    Fault("postgresql: killed", server_faults.postgres_killed),
    Fault("postgresql: connection storm", server_faults.postgres_storm),
    Fault("postgresql: disk full", server_faults.postgres_disk_full, needs_root=True),
    Fault("postgresql: paused", server_faults.postgres_paused),
    Fault("clock: a process 5 min ahead", server_faults.clock_ahead),
    Fault("clock: a process 5 min behind", server_faults.clock_behind),
    Fault("clock: a process back 25 h", server_faults.clock_back),
    Fault("clock: end of the month", _nothing, border=clock.end_of_month, zone="Asia/Riyadh"),
    Fault("clock: change of clocks", _nothing, border=clock.change_of_clocks, zone=_NEW_YORK),
    Fault("clock: end of the odd day", _nothing, border=clock.end_of_the_odd_day, zone=_NEW_YORK),
    Fault("network: cut", outside_faults.cut),
    Fault("network: reset", outside_faults.reset),
    Fault("network: slow", outside_faults.slow, slack_seconds=2 * outside_faults.SLOW_SECONDS),
    Fault("network: half-open", outside_faults.half_open),
    Fault("network: answers lost", outside_faults.mute),
    Fault("webhook: a hundred at once", outside_faults.hundredfold),
    Fault("webhook: reordered", outside_faults.reordered),
    Fault("webhook: six days old", outside_faults.six_days_old),
    Fault("webhook: batch with a broken element", outside_faults.broken_batch),
    Fault("webhook: receipt before the answer", outside_faults.receipt_first),
    Fault("webhook: opt-out racing replies", outside_faults.opt_out_races),
    Fault("instance: slow, up to 60 s", outside_faults.instance_slow),
    Fault("instance: takes and drops", outside_faults.instance_drops),
    Fault("instance: 429", outside_faults.instance_429),
    Fault("instance: 429 with Retry-After", outside_faults.instance_429_with_time),
    Fault("instance: 5xx", outside_faults.instance_5xx),
    Fault("instance: half an answer", outside_faults.instance_half),
    Fault("instance: TLS reset", outside_faults.instance_tls_reset),
    Fault("instance: same id twice", outside_faults.instance_repeats_ids),
    Fault("instance: refuses", outside_faults.instance_refuses),
    Fault("3cx: fails", outside_faults.threecx_fails),
)

FAULTS: Final = {fault.name: fault for fault in _FAULTS}
"""By name, in the order in which they are tried."""
