"""What goes on at a company during a round: everybody who writes, replies, opts out, pauses and spends a quota."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from faults.evidence import Request
from faults.load import Client, closing_in, fresh_phone
from faults.world import Line, World

DAILY_QUOTA = 25
_PACE = (4.0, 2)
_ZONES = ("Asia/Riyadh", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Chatham")
_rounds = itertools.count(1)


@dataclass(slots=True)
class Company:
    """Four accounts: for the daily work, with a small quota, paused now and then, and with an instance that is slow."""

    main: Line
    small: Line
    paused: Line
    paced: Line
    people: list[str]
    spenders: list[str]
    guests: list[str]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All of them."""
        return self.main, self.small, self.paused, self.paced

    def line_of(self, request: Request) -> Line:
        """The line that a request was posted to."""
        return next(line for line in self.lines if line.account_id == request.account_id)


async def open_company(world: World, client: Client, zone: str = "") -> Company:
    """A new company whose people have all written once; its quota is counted in `zone`."""
    number = next(_rounds)
    main = await world.open_line(f"main-{number}")
    small = await world.open_line(
        f"small-{number}", daily_limit=DAILY_QUOTA, time_zone=zone or client.rng.choice(_ZONES)
    )
    paused = await world.open_line(f"paused-{number}")
    paced = await world.open_line(f"paced-{number}", pace=_PACE)
    company = Company(
        main,
        small,
        paused,
        paced,
        [fresh_phone() for _ in range(8)],
        [fresh_phone() for _ in range(5)],
        [fresh_phone() for _ in range(3)],
    )
    writers = [(main, phone) for phone in company.people]
    writers += [(small, phone) for phone in company.spenders]
    writers += [(line, phone) for line in (paused, paced) for phone in company.guests]
    await asyncio.gather(*(client.write(line, phone) for line, phone in writers))
    return company


Act = Callable[["Day"], Awaitable[None]]


class Day:
    """A round's time, and who does what in it."""

    def __init__(self, company: Company, client: Client, seconds: float) -> None:
        self.company = company
        self.client = client
        self.rng = random.Random(client.rng.random())
        self._ends_at = time.monotonic() + seconds
        self.until = seconds

    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self._ends_at

    async def breathe(self, longest: float) -> None:
        """A short while passes."""
        await asyncio.sleep(self.rng.uniform(0.02, longest))


async def work(company: Company, client: Client, seconds: float) -> None:
    """Everybody acts until time is up, and ends what they had begun."""
    acts: list[Act] = [
        *[agent] * 5,
        writer,
        opts_out,
        races,
        late,
        stranger,
        pauser,
        waiter,
        spender,
        receipts,
    ]
    await asyncio.gather(*(act(Day(company, client, seconds)) for act in acts))


async def finish(company: Company, client: Client) -> None:
    """After everything was healed: whatever was not taken yet is delivered and asked for again."""
    record = client.world.record
    owners = {line.instance_id: line for line in company.lines}
    await asyncio.gather(
        *(
            client.deliver(owners[written.instance_id], written)
            for written in record.written
            if written.acknowledged_at is None
        ),
        *(
            client.repeat(company.line_of(request), request)
            for request in record.requests
            if request.key and (not request.accepted or client.rng.random() < 0.1)
        ),
    )


async def agent(day: Day) -> None:
    """Replies to people who have written, with a key half of the time."""
    while day.goes_on():
        phone = day.rng.choice(day.company.people)
        await day.client.reply(day.company.main, phone, key=day.rng.random() < 0.5, tries=4)
        await day.breathe(0.15)


async def writer(day: Day) -> None:
    """People write; some of it is delivered several times at once."""
    while day.goes_on():
        phone = day.rng.choice(day.company.people)
        await day.client.write(day.company.main, phone, copies=day.rng.choice((1, 1, 3)))
        await day.breathe(0.3)


async def opts_out(day: Day) -> None:
    """Somebody writes, is answered, says STOP, is written to all the same, and comes back."""
    phone = fresh_phone()
    line = day.company.main
    while day.goes_on():
        await day.client.write(line, phone)
        await day.client.reply(line, phone)
        await day.client.write(line, phone, "STOP")
        for _ in range(4):
            await day.client.reply(line, phone, key=True, tries=2)
        if day.rng.random() < 0.7:
            await day.client.write(line, phone, "START")
        await day.breathe(0.1)


async def races(day: Day) -> None:
    """Somebody says STOP at the very moment at which several agents answer."""
    while day.goes_on():
        phone = fresh_phone()
        line = day.company.main
        await day.client.write(line, phone)
        replies = [day.client.reply(line, phone, key=True, tries=3) for _ in range(3)]
        await asyncio.gather(day.client.write(line, phone, "STOP"), *replies)
        await day.breathe(0.3)


async def late(day: Day) -> None:
    """Somebody's window closes in the midst of the round, while agents go on answering; old webhooks come again."""
    line, phone = day.company.main, fresh_phone()
    await day.client.write(line, phone, ago=closing_in(day.until / 2))
    older = await day.client.write(line, phone, "I wrote this before", ago=6 * 86_400)
    while day.goes_on():
        await day.client.reply(line, phone)
        if day.rng.random() < 0.2:
            await day.client.deliver(line, older)
        await day.breathe(0.2)


async def stranger(day: Day) -> None:
    """Agents write to somebody who never wrote."""
    phone = fresh_phone()
    while day.goes_on():
        await day.client.reply(day.company.main, phone)
        await day.breathe(0.8)


async def pauser(day: Day) -> None:
    """An administrator pauses an instance in the midst of its replies, and lifts the pause."""
    line = day.company.paused

    async def replies() -> None:
        while day.goes_on():
            await day.client.reply(line, day.rng.choice(day.company.guests), key=True, tries=2)
            await day.breathe(0.15)

    async def switches() -> None:
        while day.goes_on():
            await day.breathe(0.5)
            held = await day.client.pause(line)
            await day.breathe(0.8)
            if held is not None:
                await day.client.lift(*held)

    await asyncio.gather(replies(), switches())


async def waiter(day: Day) -> None:
    """Replies through an instance whose pace makes them wait for their turn, for some seconds at most."""
    line = day.company.paced
    while day.goes_on():
        phone = day.rng.choice(day.company.guests)
        replies = (day.client.reply(line, phone, key=True, tries=2) for _ in range(day.rng.randint(2, 5)))
        await asyncio.gather(*replies)
        await day.breathe(1.0)


async def spender(day: Day) -> None:
    """Many replies at once on an account whose quota ends in the midst of them."""
    while day.goes_on():
        phones = [day.rng.choice(day.company.spenders) for _ in range(8)]
        await asyncio.gather(
            *(
                day.client.reply(day.company.small, phone, key=day.rng.random() < 0.5, tries=2)
                for phone in phones
            )
        )
        await day.breathe(0.4)


async def receipts(day: Day) -> None:
    """The instances tell what became of messages, sometimes twice."""
    told: set[str] = set()
    instances = day.client.world.instances
    company = day.company
    urls = {line.name: instances.owner[line.name] for line in company.lines}
    while day.goes_on():
        fresh = [
            each
            for each in instances.arrivals[-60:]
            if each.accepted and each.instance in urls and each.external_id not in told
        ]
        for arrival in fresh[:10]:
            told.add(arrival.external_id)
            for _ in range(day.rng.choice((1, 1, 2))):
                await instances.report(
                    urls[arrival.instance], arrival.instance, arrival.external_id, "delivered", arrival.phone
                )
        await day.breathe(0.4)
