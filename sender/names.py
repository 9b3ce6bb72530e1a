"""Name resolution for the one door out: looks names up, checks every answer, hands on IP addresses."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

from sender.addresses import AddressPolicy

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Takes a host name, returns its IP addresses as text. Raises OSError if there are none."""

_THREADS = 32
_KEPT_NAMES = 4_096


class NoAddressError(OSError):
    """The name could not be resolved."""


class PinnedAddress(TypedDict):
    """One checked answer: `host` is an IP address, which is connected to as it stands."""

    hostname: str
    host: str
    port: int


class SystemNames:
    """The machine's resolver, on its own threads, so that a name server that hangs holds up nobody else."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="names")

    async def lookup(self, host: str) -> Sequence[str]:
        """IP addresses of `host`. Raises OSError if it has none or they do not come in time."""
        loop = asyncio.get_running_loop()
        question = loop.run_in_executor(self._threads, _ask, host)
        try:
            return await asyncio.wait_for(question, self._timeout_seconds)
        except TimeoutError as error:
            raise OSError("the name server did not answer in time") from error

    def close(self) -> None:
        """Ends the threads; a question under way is left to end by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _ask(host: str) -> list[str]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedResolver:
    """Looks a name up and checks what comes. Its answers are connected to: nothing is looked up twice."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(self, host: str, port: int = 0) -> list[PinnedAddress]:
        """Checked answers. Raises `AddressRefusedError` if any is refused, OSError if there are none."""
        try:
            answers = await self._lookup(host)
        except OSError as error:
            raise NoAddressError("the name could not be resolved") from error
        if not answers:
            raise NoAddressError("the name has no address")
        self._policy.check_every(answers)
        return [PinnedAddress(hostname=host, host=answer, port=port) for answer in answers]


class KeptNames:
    """Keeps checked answers for a while, and lets everybody who asks for a name wait for one look-up."""

    def __init__(self, resolver: GuardedResolver, kept_seconds: float) -> None:
        self._resolver = resolver
        self._kept_seconds = kept_seconds
        self._kept: dict[str, tuple[float, Sequence[str]]] = {}
        self._asked: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def addresses(self, host: str) -> Sequence[str]:
        """IP addresses of `host`, checked. Raises `AddressRefusedError`, or OSError if there are none."""
        now = asyncio.get_running_loop().time()
        kept = self._kept.get(host)
        if kept is not None and now < kept[0]:
            return kept[1]
        question = self._asked.get(host)
        if question is None:
            question = asyncio.create_task(self._resolve(host))
            question.add_done_callback(_seen)
            self._asked[host] = question
        # Whoever runs out of time leaves; the question stays for the others.
        try:
            return await asyncio.shield(question)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise NoAddressError("names are looked up no more") from None

    async def _resolve(self, host: str) -> Sequence[str]:
        try:
            found = [entry["host"] for entry in await self._resolver.resolve(host)]
        finally:
            del self._asked[host]
        if self._kept_seconds > 0:
            self._make_room()
            self._kept[host] = (asyncio.get_running_loop().time() + self._kept_seconds, found)
        return found

    def _make_room(self) -> None:
        if len(self._kept) < _KEPT_NAMES:
            return
        now = asyncio.get_running_loop().time()
        self._kept = {host: kept for host, kept in self._kept.items() if now < kept[0]}
        if len(self._kept) >= _KEPT_NAMES:
            self._kept.clear()

    def close(self) -> None:
        """Ends the questions under way."""
        for question in list(self._asked.values()):
            question.cancel()


def _seen(question: asyncio.Task[Sequence[str]]) -> None:
    """Takes note of an error that nobody waits for any more."""
    if not question.cancelled():
        question.exception()
