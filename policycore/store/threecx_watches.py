"""Who watches which phone system, and the calls that were missed; see `policycore.pbx.PbxLedger`.

Whatever a watcher writes, it writes holding its row, and only while its lease runs: of two that both believe to watch,
one is turned away.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, exists, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.ids import RandomBytes, new_id
from policycore.pbx import (
    ONE_CALL,
    HeldWatch,
    LeaseLost,
    MissedCall,
    PbxNews,
    PbxTarget,
    UntoldCall,
    retry_after,
)
from policycore.registry.sealing import THREECX_API_SECRET, SealingError
from policycore.store.engine import Database
from policycore.store.tables import integrations
from policycore.store.threecx_api_tables import threecx_apis, threecx_calls, threecx_watches

KEPT = timedelta(days=8)
_CLEANED_AT_ONCE = 1_000
_LONGEST_REASON = 64

Unseal = Callable[[bytes, tuple[str, str], str], str]


class SqlPbxLedger:
    """The watches of one database. `unseal` opens secrets."""

    def __init__(self, database: Database, unseal: Unseal, random_bytes: RandomBytes) -> None:
        self._database = database
        self._unseal = unseal
        self._random_bytes = random_bytes

    async def claim(self, holder: str, seconds: float, limit: int) -> list[HeldWatch]:
        """Watches that nobody holds, now held by `holder`. One whose secret cannot be opened says so, and is left."""
        async with self._database.reading() as connection:
            # Most of the time nothing is free; that must not cost the one writer of SQLite.
            now = await self._database.now(connection)
            if not (await connection.execute(select(exists().where(_free(now))))).scalar_one():
                return []
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            free = select(threecx_watches.c.integration_id).where(_free(now)).limit(limit)
            taken = (
                update(threecx_watches)
                .where(threecx_watches.c.integration_id.in_(free.with_for_update(skip_locked=True)))
                .values(holder=holder, leased_until=now + timedelta(seconds=seconds))
                .returning(threecx_watches.c.integration_id)
            )
            ids = list((await connection.execute(taken)).scalars())
            return [held for each in ids if (held := await self._held(connection, each, holder)) is not None]

    async def extend(self, held: HeldWatch, seconds: float) -> None:
        """Holds on. Raises `LeaseLost` also if the settings have changed."""
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            kept = update(threecx_watches).where(_mine(held, now), _wanted(held.revision))
            kept = kept.values(leased_until=now + timedelta(seconds=seconds))
            if not (await connection.execute(kept)).rowcount:
                raise LeaseLost

    async def release(self, held: HeldWatch) -> None:
        """Lets go, if it is still held."""
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            await connection.execute(
                update(threecx_watches).where(_mine(held, now)).values(holder="", leased_until=None)
            )

    async def take_news(self, held: HeldWatch, news: PbxNews) -> int:
        """Keeps what is new; returns how many calls were not known. Raises `LeaseLost`."""
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            known_until, state, reason = await _lock(connection, held, now)
            added = 0
            for call in news.missed:
                added += await self._add_call(connection, held, call, now)
            changes: dict[str, object] = {}
            if news.known_until > known_until:
                changes["known_until"] = min(news.known_until, now)
            if (state, reason) != (news.state, news.reason[:_LONGEST_REASON]):
                changes |= {
                    "state": news.state[:16],
                    "reason": news.reason[:_LONGEST_REASON],
                    "state_since": now,
                }
            if changes:
                await connection.execute(
                    update(threecx_watches)
                    .where(threecx_watches.c.integration_id == held.target.integration_id)
                    .values(changes)
                )
        return added

    async def untold(self, held: HeldWatch, limit: int) -> list[UntoldCall]:
        """Calls whose turn to be told has come, the earliest first."""
        calls = threecx_calls.c
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            query = (
                select(
                    calls.id, calls.integration_id, calls.caller, calls.began_at, calls.ended_at, calls.reached_dn,
                    calls.tries, calls.found_at,
                )
                .where(calls.integration_id == held.target.integration_id, calls.next_try_at <= now)
                .order_by(calls.ended_at, calls.id)
                .limit(limit)
            )  # fmt: skip
            return [UntoldCall(*row) for row in await connection.execute(query)]

    async def note_told(self, call_id: str, outcome: str) -> None:
        """The caller was told, or will not be."""
        async with self._database.transaction() as connection:
            await connection.execute(
                update(threecx_calls)
                .where(threecx_calls.c.id == call_id)
                .values(next_try_at=None, outcome=outcome[:64])
            )

    async def note_tried(self, call: UntoldCall, outcome: str) -> None:
        """It could not be decided now; another time it may."""
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            tries = call.tries + 1
            await connection.execute(
                update(threecx_calls)
                .where(threecx_calls.c.id == call.call_id, threecx_calls.c.next_try_at.is_not(None))
                .values(tries=tries, next_try_at=now + retry_after(tries), outcome=outcome[:64])
            )

    async def clean(self) -> int:
        """Forgets calls that are too old to come again, some at a time; returns how many."""
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            old = select(threecx_calls.c.id).where(threecx_calls.c.ended_at < now - KEPT)
            ids = list((await connection.execute(old.limit(_CLEANED_AT_ONCE))).scalars())
        if ids:
            async with self._database.transaction() as connection:
                await connection.execute(delete(threecx_calls).where(threecx_calls.c.id.in_(ids)))
        return len(ids)

    async def _held(self, connection: AsyncConnection, integration_id: str, holder: str) -> HeldWatch | None:
        api, watch = threecx_apis.c, threecx_watches.c
        query = select(
            api.base_url, api.client_id, api.client_secret_sealed, api.revision, watch.known_until,
            api.every_extension_listed, api.catch_up_seconds, api.missed_calls, api.who_replied,
        ).where(api.integration_id == integration_id, watch.integration_id == api.integration_id)  # fmt: skip
        row = (await connection.execute(query)).one()
        now = await self._database.now(connection)
        try:
            secret = self._unseal(row.client_secret_sealed, THREECX_API_SECRET, integration_id)
        except SealingError:
            failed = {"state": "failing", "reason": "secret_sealed_otherwise", "state_since": now}
            await connection.execute(
                update(threecx_watches).where(watch.integration_id == integration_id).values(failed)
            )
            return None
        catch_up = timedelta(seconds=row.catch_up_seconds)
        return HeldWatch(
            PbxTarget(integration_id, row.base_url, row.client_id, secret),
            holder,
            row.revision,
            max(row.known_until, now - catch_up),
            row.every_extension_listed,
            catch_up,
            row.missed_calls,
            row.who_replied,
        )

    async def _add_call(
        self, connection: AsyncConnection, held: HeldWatch, call: MissedCall, now: datetime
    ) -> int:
        calls, integration_id = threecx_calls.c, held.target.integration_id
        same = select(calls.id).where(
            calls.integration_id == integration_id,
            calls.caller == call.caller,
            calls.ended_at >= call.began_at - ONE_CALL,
            calls.began_at <= call.ended_at + ONE_CALL,
        )
        if (await connection.execute(same.limit(1))).first() is not None:
            return 0
        too_old = call.ended_at < now - held.catch_up
        await connection.execute(
            insert(threecx_calls).values(
                id=new_id("pcl_", self._random_bytes),
                integration_id=integration_id,
                caller=call.caller,
                began_at=call.began_at,
                ended_at=call.ended_at,
                reached_dn=call.reached_dn[:32],
                from_history=call.from_history,
                found_at=now,
                next_try_at=None if too_old else now,
                outcome="too_old" if too_old else "",
            )
        )
        return 1


async def _lock(connection: AsyncConnection, held: HeldWatch, now: datetime) -> tuple[datetime, str, str]:
    columns = threecx_watches.c
    query = select(columns.known_until, columns.state, columns.reason).where(_mine(held, now))
    row = (await connection.execute(query.with_for_update())).one_or_none()
    if row is None:
        raise LeaseLost
    return row.known_until, row.state, row.reason


def _mine(held: HeldWatch, now: datetime) -> ColumnElement[bool]:
    return and_(
        threecx_watches.c.integration_id == held.target.integration_id,
        threecx_watches.c.holder == held.holder,
        threecx_watches.c.leased_until > now,
    )


def _wanted(revision: int | None = None) -> ColumnElement[bool]:
    """The settings want it to be watched, and the integration is switched on."""
    found = select(threecx_apis.c.integration_id).where(
        threecx_apis.c.integration_id == threecx_watches.c.integration_id,
        or_(threecx_apis.c.missed_calls.is_(True), threecx_apis.c.who_replied.is_(True)),
        integrations.c.id == threecx_apis.c.integration_id,
        integrations.c.enabled.is_(True),
    )
    if revision is not None:
        found = found.where(threecx_apis.c.revision == revision)
    return found.exists()


def _free(now: datetime) -> ColumnElement[bool]:
    until = threecx_watches.c.leased_until
    return and_(or_(until.is_(None), until <= now), _wanted())
