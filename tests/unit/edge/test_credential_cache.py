"""The credential cache, fresh while somebody confirms it and no longer; and the feed that fills it."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from edge.credential_feed import CredentialFeed
from edge.credentials import CUT_OFF_SECONDS, CredentialCache
from edge.errors import CoreUnavailableError
from edge.model import ApiKey, CredentialSnapshot, IntegrationKey


def snapshot(version: int, *names: str) -> CredentialSnapshot:
    integrations = {name: IntegrationKey(name, "acc_1", True, ()) for name in names}
    return CredentialSnapshot(version, integrations, {b"digest": ApiKey("key_1", "acc_1")}, {})


def test_nothing_is_fresh_before_the_first_snapshot() -> None:
    cache = CredentialCache()
    assert not cache.fresh(0.0)
    assert math.isinf(cache.age_seconds(0.0))
    assert cache.version == -1


def test_a_snapshot_replaces_everything() -> None:
    cache = CredentialCache()
    cache.replace(snapshot(1, "int_1"), 100.0)
    cache.replace(snapshot(2, "int_2"), 101.0)
    assert cache.integration("int_1") is None
    assert cache.integration("int_2") is not None
    assert cache.api_key(b"digest") is not None
    assert cache.instance("ins_1") is None
    assert cache.version == 2


def test_it_goes_stale_when_nobody_confirms_it() -> None:
    cache = CredentialCache()
    cache.replace(snapshot(1), 100.0)
    cache.confirm(105.0)
    assert cache.fresh(105.0 + CUT_OFF_SECONDS - 0.001)
    assert not cache.fresh(105.0 + CUT_OFF_SECONDS)


async def test_the_feed_opens_the_stream_again_and_again() -> None:
    cache = CredentialCache()
    opened = 0
    confirmed = asyncio.Event()

    async def watch() -> AsyncIterator[CredentialSnapshot | None]:
        nonlocal opened
        opened += 1
        yield snapshot(opened, f"int_{opened}")
        if opened < 3:
            raise CoreUnavailableError("lost")
        yield None
        confirmed.set()
        await asyncio.Event().wait()

    feed = CredentialFeed(cache, watch, lambda: 50.0, lambda: 0.0)
    task = asyncio.create_task(feed.run())
    await asyncio.wait_for(confirmed.wait(), 5)
    assert feed.connected
    assert cache.version == 3
    assert cache.integration("int_3") is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not feed.connected
