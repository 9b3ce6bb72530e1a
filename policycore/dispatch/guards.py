"""Keeps every sender's guard up to date: pauses and fresh opt-outs, at once when they change and 4 times a
second.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import grpc
import structlog

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.links import Backoff, SenderLink
from policycore.dispatch.sender_wire import guarded_opt_out, guarded_pause
from policycore.registry.snapshot import Snapshot

HEARTBEAT_SECONDS = 0.25
MOST_OPT_OUTS = 20_000
"""Beyond this the ones that end first are dropped; the decision itself still knows them."""

_log = structlog.get_logger(__name__)
_BROKEN = (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError)

Stream = grpc.aio.StreamStreamCall[pb.GuardRequest, pb.GuardResponse]


@dataclass(frozen=True, slots=True)
class _Word:
    """What is said at one version of the guard, and the version of the configuration in it."""

    version: int
    config_version: int
    request: pb.GuardRequest


class GuardBroadcaster:
    """Implements `SenderGuards` over `links`: one guard stream for each.

    `snapshot` gives the newest configuration. `fresh` says whether this process still hears from the
    database; while it
    does not, nothing is said, and the senders stop by themselves. `now` is UTC; `speaker_id` is one for each
    process's life.
    """

    def __init__(
        self,
        links: Sequence[SenderLink],
        snapshot: Callable[[], Snapshot],
        fresh: Callable[[], bool],
        now: Callable[[], datetime],
        speaker_id: str,
    ) -> None:
        self._links = list(links)
        self._snapshot = snapshot
        self._fresh = fresh
        self._now = now
        self._speaker_id = speaker_id
        self._opt_outs: dict[str, datetime] = {}
        self._changed = asyncio.Event()
        self._obeyed = asyncio.Event()
        self._word = self._say(1, snapshot())
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to connect and to speak; returns at once."""
        for link in self._links:
            link.open()
        self._tasks = [asyncio.create_task(self._keep_stream(link)) for link in self._links]

    async def close(self) -> None:
        """Ends the streams; within a second the senders stop if nobody else speaks to them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def changed(self) -> None:
        """Call after the configuration was replaced; without it a change is found at the next heartbeat."""
        self._refresh()

    def opted_out(self, person_id: str, until: datetime) -> None:
        """Guards a person on every sender at once, until a time at which no older permit can be alive."""
        known = self._opt_outs.get(person_id)
        self._opt_outs[person_id] = until if known is None else max(known, until)
        self._speak_anew()

    def opt_out_lifted(self, person_id: str) -> None:
        """Stops guarding a person who came back."""
        if self._opt_outs.pop(person_id, None) is not None:
            self._speak_anew()

    async def confirm(self, version: int, seconds: float) -> int:
        """Waits at most `seconds` until configuration `version` is known here and obeyed by every sender.

        Returns how many obey it. A sender that does not hear this process may well hear another one, which
        learns of the change by itself: whoever is missing is given the whole time.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            self._refresh()
            obeying = sum(link.obedient() and link.obeyed_version >= version for link in self._links)
            left = end - loop.time()
            if left <= 0 or (obeying == len(self._links) and self._word.config_version >= version):
                return obeying
            await _set_within(self._obeyed, min(left, HEARTBEAT_SECONDS / 5))

    def _refresh(self) -> None:
        """Takes over a configuration that is newer than what was last said."""
        if self._snapshot().version != self._word.config_version:
            self._speak_anew()

    def _speak_anew(self) -> None:
        self._word = self._say(self._word.version + 1, self._snapshot())
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _say(self, version: int, snapshot: Snapshot) -> _Word:
        now = self._now()
        self._forget_opt_outs(now)
        request = pb.GuardRequest(speaker_id=self._speaker_id, version=version, snapshot=True)
        for pause in snapshot.pauses:
            if pause.fact.until is None or pause.fact.until > now:
                request.guarded.append(guarded_pause(pause))
        request.guarded.extend(guarded_opt_out(person, until) for person, until in self._opt_outs.items())
        return _Word(version, snapshot.version, request)

    def _forget_opt_outs(self, now: datetime) -> None:
        for person in [person for person, until in self._opt_outs.items() if until <= now]:
            del self._opt_outs[person]
        if len(self._opt_outs) > MOST_OPT_OUTS:
            latest = sorted(self._opt_outs.items(), key=lambda entry: entry[1])[-MOST_OPT_OUTS:]
            _log.warning("guard_full", dropped=len(self._opt_outs) - MOST_OPT_OUTS)
            self._opt_outs = dict(latest)

    async def _keep_stream(self, link: SenderLink) -> None:
        backoff = Backoff()
        while True:
            try:
                await link.connected()
                await self._speak(link, link.stub.Guard(None, metadata=link.metadata), backoff)
            except _BROKEN as error:
                code = error.code().name if isinstance(error, grpc.aio.AioRpcError) else type(error).__name__
                _log.warning("guard_stream_broken", address=link.address, code=code)
            finally:
                link.unheard()
            await backoff.wait()

    async def _speak(self, link: SenderLink, call: Stream, backoff: Backoff) -> None:
        """Says the whole guard first and after every change, and otherwise that this process is there."""
        config_versions: dict[int, int] = {}
        reader = asyncio.create_task(self._hear_acknowledgements(link, call, config_versions, backoff))
        said = 0
        try:
            while not reader.done():
                self._refresh()
                word, changed = self._word, self._changed
                if not self._fresh():
                    said = 0
                elif word.version != said:
                    config_versions[word.version] = word.config_version
                    await call.write(word.request)
                    said = word.version
                else:
                    await call.write(pb.GuardRequest(speaker_id=self._speaker_id, version=said))
                await _first_of(changed, reader, HEARTBEAT_SECONDS)
            await reader
        finally:
            reader.cancel()
            call.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _hear_acknowledgements(
        self, link: SenderLink, call: Stream, config_versions: dict[int, int], backoff: Backoff
    ) -> None:
        async for answer in call:
            config_version = config_versions.get(answer.version)
            if config_version is None:
                continue
            for older in [version for version in config_versions if version < answer.version]:
                del config_versions[older]
            link.acknowledged(config_version)
            backoff.reset()
            obeyed, self._obeyed = self._obeyed, asyncio.Event()
            obeyed.set()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


async def _first_of(event: asyncio.Event, task: "asyncio.Task[None]", seconds: float) -> None:
    """Returns when the event is set, the task is done, or the time is over."""
    waiter = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({waiter, task}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
