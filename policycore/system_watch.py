"""How the parts of a policy core are, for `hubgate doctor` and administrators."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from policycore.dispatch.links import SenderLink
from policycore.errors import PolicyCoreError
from policycore.model import Rules
from policycore.ports import Counters, InstanceHolds
from policycore.registry.snapshot import InstanceConfig, Snapshot
from policycore.registry.system_state import ComponentState, SystemState
from policycore.store.engine import Database
from policycore.store.invariant_store import SHOWN_FOR, Notices, read_notices
from policycore.store.outbox import count_given_up
from policycore.store.partitions import Month, months_in_default
from policycore.store.unknowns import count_unknown

VERSION = "0.1.0"
_GIVEN_UP_SHOWN_FOR = timedelta(hours=24)
_SILENT_AFTER = timedelta(hours=1)
"""Invariants that have not run for so long, and for four of their intervals, do not run."""


class CoreWatch:
    """Implements `SystemWatch` over the running parts."""

    def __init__(
        self,
        database: Database,
        counters: Counters,
        links: Sequence[SenderLink],
        snapshot: Callable[[], Snapshot],
        clock: Callable[[], datetime],
        invariants_every_seconds: int = 0,
        holds: InstanceHolds | None = None,
    ) -> None:
        self._database = database
        self._counters = counters
        self._links = links
        self._snapshot = snapshot
        self._clock = clock
        self._holds = holds
        self._invariants_every = timedelta(seconds=invariants_every_seconds)

    async def look(self) -> SystemState:
        """Looks at database, clock, invariants, deliveries, unknown messages, policy log, counters, senders and
        instances. A broken part is told, not raised.
        """
        database, revision, database_time = await self._database_state()
        parts = [database]
        if database.healthy:
            parts.append(self._clock_state(database_time))
            parts.append(await self._invariants_state(database_time))
            parts.append(await self._deliveries_state(database_time))
            parts.append(await self._unknown_state(database_time))
            if self._database.is_postgres:
                parts.append(await self._log_state(database_time))
        parts.append(await self._counters_state())
        parts.extend(_sender_state(link) for link in self._links)
        parts.extend(self._instance_states())
        return SystemState(tuple(parts), VERSION, revision, database_time)

    async def _database_state(self) -> tuple[ComponentState, str, datetime]:
        try:
            async with self._database.reading() as connection:
                now = await self._database.now(connection)
                query = text("SELECT version_num FROM alembic_version")
                revision = (await connection.execute(query)).scalar_one_or_none() or ""
        except (PolicyCoreError, SQLAlchemyError) as error:
            broken = ComponentState("database", False, f"It cannot be read: {type(error).__name__}.")
            return broken, "", self._clock()
        return ComponentState("database", True, f"It answers; {self._database.dialect}."), revision, now

    def _clock_state(self, database_time: datetime) -> ComponentState:
        offset = abs((self._clock() - database_time).total_seconds())
        trusted = offset <= Rules().max_clock_offset.total_seconds()
        return ComponentState("clock", trusted, f"It is {offset:.1f} s from the database's.")

    async def _invariants_state(self, now: datetime) -> ComponentState:
        try:
            async with self._database.reading() as connection:
                notices = await read_notices(connection, now)
        except (PolicyCoreError, SQLAlchemyError) as error:
            return ComponentState("invariants", False, f"They cannot be read: {type(error).__name__}.")
        if notices.broken:
            return ComponentState("invariants", False, _broken(notices))
        if not self._invariants_every:
            return ComponentState("invariants", True, "They are switched off.")
        if notices.ran_at is None or notices.messages_until is None:
            return ComponentState("invariants", True, "They have not run yet.")
        if now - notices.ran_at > max(_SILENT_AFTER, 4 * self._invariants_every):
            return ComponentState("invariants", False, f"They last ran at {_minute(notices.ran_at)}.")
        words = f"Nothing is broken; messages were looked at up to {_minute(notices.messages_until)}."
        return ComponentState("invariants", True, words)

    async def _unknown_state(self, now: datetime) -> ComponentState:
        try:
            async with self._database.reading() as connection:
                unknown, to_settle = await count_unknown(connection, now)
        except (PolicyCoreError, SQLAlchemyError) as error:
            return ComponentState("unknown messages", False, f"They cannot be read: {type(error).__name__}.")
        words = f"Of {unknown} messages nobody knows yet whether they left."
        if to_settle:
            words += f" {to_settle} of them wait for a person: hubgate message unknown --to-settle."
        return ComponentState("unknown messages", not to_settle, words)

    async def _log_state(self, now: datetime) -> ComponentState:
        """A month that is over and lies in the default partition is told, but nothing that anybody has to mend."""
        try:
            async with self._database.reading() as connection:
                found = await months_in_default(connection)
        except (PolicyCoreError, SQLAlchemyError) as error:
            return ComponentState("policy log", False, f"It cannot be read: {type(error).__name__}.")
        if found is None:
            return ComponentState("policy log", True, "Every decision is in the partition of its month.")
        first, last = found
        span = _month(first) if first == last else f"{_month(first)} to {_month(last)}"
        words = f"Its default partition holds decisions of {span}, for which there was no partition."
        if last < Month.of(now):
            return ComponentState("policy log", True, words)
        return ComponentState("policy log", False, f"{words} See docs/scaling.md for why.")

    async def _deliveries_state(self, now: datetime) -> ComponentState:
        try:
            async with self._database.reading() as connection:
                count = await count_given_up(connection, now - _GIVEN_UP_SHOWN_FOR)
        except (PolicyCoreError, SQLAlchemyError) as error:
            return ComponentState("deliveries", False, f"They cannot be read: {type(error).__name__}.")
        if not count:
            return ComponentState("deliveries", True, "None was given up in the last 24 hours.")
        words = f"{count} were given up in the last 24 hours: hubgate deliveries list --state failed (or blocked)."
        return ComponentState("deliveries", False, words)

    async def _counters_state(self) -> ComponentState:
        healthy = await self._counters.healthy()
        words = "They answer." if healthy else "Redis does not answer; this process counts by itself."
        return ComponentState("counters", healthy, words)

    def _instance_states(self) -> list[ComponentState]:
        return [self._instance_state(each) for each in self._snapshot().instances.values()]

    def _instance_state(self, instance: InstanceConfig) -> ComponentState:
        words, well = f"Its state is {instance.state}.", instance.state == "open"
        hold = self._holds.hold(instance.instance_id, only_looking=True) if self._holds is not None else None
        if instance.unacknowledged_since is not None:
            words += f" Nothing it accepted since {_minute(instance.unacknowledged_since)} was acknowledged."
        if hold is not None:
            words += f" {hold.sentence}"
        well = well and hold is None and instance.unacknowledged_since is None
        return ComponentState(f"instance {instance.name}", well, words)


def _broken(notices: Notices) -> str:
    parts = [f"{name} {count} (newest: {subject})" for name, (count, subject) in notices.broken.items()]
    return f"Broken in the last {SHOWN_FOR.days} days: {', '.join(parts)}. See docs/invariants.md."


def _month(month: Month) -> str:
    return month.first.strftime("%Y-%m")


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def _sender_state(link: SenderLink) -> ComponentState:
    obeys = link.obedient()
    words = "It takes work." if obeys else "It is not connected, or its guard has not answered."
    return ComponentState(f"sender {link.address}", obeys, words)
