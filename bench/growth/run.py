"""`python -m bench --growth`: every curve, then the searches on the log's databases, then two replicas against one."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.growth import replicas as pair
from bench.growth.curves import CURVES, Curve
from bench.growth.deciding import Point, Site, open_site, time_in_turn
from bench.growth.searching import Looked, look, row_bytes, searches
from servers.postgres import PostgresServer, running_postgres

MOST = 100_000
"""Sizes above this are left out unless more is asked for: some seconds of filling each, and half a gigabyte."""

REPLICAS = "replicas"
PARTS = (*(curve.name for curve in CURVES), REPLICAS)
BATCHES = 60
_BYTES_OF_A_ROW = 4_000
"""Disk for a row of the largest table with its indexes and what was written on the way, at most."""

_SERVER = {
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    # No replica is told of what is filled; then a table that is made and filled in one transaction is written once.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
}


@dataclass(slots=True)
class Growth:
    """Everything that was measured."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    looked: list[Looked] = field(default_factory=list)
    replicas: pair.Replicas | None = None
    reading_ms: dict[int, float] = field(default_factory=dict)
    """What reading the whole configuration takes, by the number of integrations."""
    row_bytes: float = 0.0
    """Bytes of disk for a row of the policy log with its indexes."""


async def measure(most: int, parts: Sequence[str]) -> Growth:
    """Measures these of `PARTS`, curves up to `most`. Errors: RuntimeError if a decision or a search went wrong, or
    there is no room on the disk.
    """
    found = Growth()
    for curve in CURVES:
        if curve.name in parts:
            sizes = [size for size in curve.sizes if size <= most]
            _check_room(max(sizes))
            with running_postgres(_SERVER) as server:
                await _one_curve(server, curve, sizes, found)
    if REPLICAS in parts:
        print("two replicas against one", flush=True)
        found.replicas = await pair.measure()
    return found


def _check_room(rows: int) -> None:
    free, wanted = shutil.disk_usage(tempfile.gettempdir()).free, 2 * rows * _BYTES_OF_A_ROW
    if free < wanted:
        raise RuntimeError(
            f"{wanted / 1e9:.0f} GB are wanted for {rows:,} rows, and {free / 1e9:.0f} GB are free"
        )


async def _one_curve(server: PostgresServer, curve: Curve, sizes: Sequence[int], found: Growth) -> None:
    sites: list[Site] = []
    try:
        for size in sizes:
            print(f"filling {size:,} {curve.says}", flush=True)
            sites.append(await open_site(server, curve, size))
        found.points[curve.name] = await time_in_turn(curve, sites, BATCHES)
        if curve.name == "integrations":
            found.reading_ms = {site.size: await site.time_configuration() for site in sites}
        if curve.name == "log":
            found.row_bytes = await row_bytes(sites[-1].core.database, sites[-1].size)
            for site in sites:
                for search in await searches(site.core.database, site.size):
                    found.looked.append(await look(site.core.database, search, site.size))
    finally:
        for site in sites:
            await site.core.close()
