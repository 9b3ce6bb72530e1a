"""Name resolution for the one door out: looks names up, checks every answer, hands on IP addresses."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from sender.addresses import AddressPolicy

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Takes a host name, returns its IP addresses as text. Raises OSError if there are none."""

_THREADS = 32


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


class GuardedResolver(AbstractResolver):
    """Resolves for aiohttp. What it returns is connected to as it stands: nothing is looked up twice."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Checked answers. Raises `AddressRefusedError` if any is refused, OSError if there are none."""
        answers = await self._lookup(host)
        if not answers:
            raise OSError("the name has no address")
        self._policy.check_every(answers)
        return [_pinned(host, answer, port) for answer in answers]

    async def close(self) -> None:
        """Nothing to close: whoever made the lookup closes it."""


def _pinned(host: str, answer: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in answer else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=answer, port=port, family=family, proto=0, flags=flags)
