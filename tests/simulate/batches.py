"""Owns running many histories: in this process, or shared out over several."""

import gc
import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from itertools import chain

import structlog

from simulate.history import Outcome, run_history

_CHUNK = 50


def run_some(seeds: Sequence[int]) -> list[Outcome]:
    """Histories of these seeds, quietly: what the product logs in them is of no interest."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.disable()
    try:
        return [run_history(seed) for seed in seeds]
    finally:
        # What a history leaves behind is looked through once for all of them.
        gc.enable()
        gc.collect()


def outcomes(seed: int, count: int, processes: int) -> Iterator[Outcome]:
    """Histories `seed` to `seed + count - 1`, as they come."""
    chunks = [range(at, min(at + _CHUNK, seed + count)) for at in range(seed, seed + count, _CHUNK)]
    if processes == 1:
        yield from chain.from_iterable(map(run_some, chunks))
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from chain.from_iterable(pool.imap_unordered(run_some, chunks))
