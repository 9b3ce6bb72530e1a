"""Names that are kept: one look-up for everybody, failures forgotten at once, room for so many and no more."""

import asyncio
from collections.abc import Sequence

import pytest

from sender.addresses import AddressPolicy, AddressRefusedError
from sender.names import GuardedResolver, KeptNames, NoAddressError


class Server:
    """A name server that answers when it is let."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def lookup(self, host: str) -> Sequence[str]:
        self.asked += 1
        await self.may_answer.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


def kept(server: Server, seconds: float = 10.0) -> KeptNames:
    return KeptNames(GuardedResolver(AddressPolicy(), server.lookup), seconds)


async def test_one_who_leaves_does_not_take_the_answer_along() -> None:
    server = Server(["8.8.8.8"])
    server.may_answer.clear()
    names = kept(server)
    asked = [asyncio.create_task(names.addresses("a.example")) for _ in range(3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    await asyncio.sleep(0)
    server.may_answer.set()
    assert await asyncio.gather(*asked[1:]) == [["8.8.8.8"], ["8.8.8.8"]]
    assert asked[0].cancelled()
    assert await names.addresses("a.example") == ["8.8.8.8"]
    assert server.asked == 1


async def test_neither_failures_nor_refusals_are_kept() -> None:
    names = kept(Server(OSError("no"), ["127.0.0.1"], [], ["8.8.8.8"]))
    with pytest.raises(NoAddressError):
        await names.addresses("a.example")
    with pytest.raises(AddressRefusedError):
        await names.addresses("a.example")
    with pytest.raises(NoAddressError):
        await names.addresses("a.example")
    assert await names.addresses("a.example") == ["8.8.8.8"]


async def test_what_is_kept_runs_out() -> None:
    names = kept(Server(["8.8.8.8"], ["127.0.0.1"]), 0.02)
    assert await names.addresses("a.example") == ["8.8.8.8"]
    await asyncio.sleep(0.05)
    with pytest.raises(AddressRefusedError):
        await names.addresses("a.example")


async def test_names_without_end_take_room_that_ends() -> None:
    names = kept(Server(["8.8.8.8"]))
    for number in range(5_000):
        await names.addresses(f"{number}.example")
    assert len(names._kept) <= 4_096


async def test_closing_is_a_failure_and_no_cancellation() -> None:
    server = Server(["8.8.8.8"])
    server.may_answer.clear()
    names = kept(server)
    asked = asyncio.create_task(names.addresses("a.example"))
    await asyncio.sleep(0.01)
    names.close()
    with pytest.raises(NoAddressError):
        await asked
