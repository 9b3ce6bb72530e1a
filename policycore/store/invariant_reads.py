"""Reads what the live invariants compare, in slices and by index; see `policycore.evidence`."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, func, null, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.evidence import (
    OVERLAP,
    AnsweredDecision,
    Evidence,
    InboundMoment,
    LoggedDecision,
    OptOutSpan,
    Outbound,
    Pair,
    PauseSpan,
    Usage,
)
from policycore.ledger import MessageState
from policycore.model import Action
from policycore.reasons import Verdict
from policycore.store.batch_values import one_of
from policycore.store.tables import (
    accounts,
    decisions,
    messages,
    pauses,
    persons,
    quota_usage,
    suppressions,
    windows,
)

_LOOK_BACK = timedelta(days=3)
"""How long before a message its person's own messages are looked for: longer than any window."""

_HOLDS_NO_QUOTA = (int(MessageState.REJECTED), int(MessageState.LAPSED))

_DECISION: tuple[ColumnElement[Any], ...] = (
    decisions.c.log_id.label("decision_log_id"),
    decisions.c.id.label("decision_id"),
    decisions.c.decided_at,
    decisions.c.account_id.label("decision_account_id"),
    decisions.c.person_id.label("decision_person_id"),
    decisions.c.message_id,
    decisions.c.verdict,
    decisions.c.action,
)
_MESSAGE: tuple[ColumnElement[Any], ...] = (
    messages.c.id,
    messages.c.account_id,
    messages.c.instance_id,
    messages.c.integration_id,
    messages.c.person_id,
    messages.c.state,
    messages.c.error_code,
    messages.c.log_id,
    messages.c.created_at,
    messages.c.not_after,
    messages.c.handed_out_at,
    messages.c.confirms_opt_out,
)


async def read_account_ids(
    connection: AsyncConnection, after: str = "", limit: int | None = None
) -> list[str]:
    """Ids of accounts, in order, beyond one."""
    query = select(accounts.c.id).where(accounts.c.id > after).order_by(accounts.c.id)
    return list((await connection.execute(query.limit(limit) if limit else query)).scalars())


async def read_messages(
    connection: AsyncConnection, account_ids: Sequence[str], after: datetime, until: datetime, limit: int
) -> list[Outbound]:
    """At most `limit` messages of ours made in (after, until], the oldest first. Accounts are named because the
    index on times is theirs.
    """
    query = (
        select(*_MESSAGE, *_DECISION)
        .select_from(messages.outerjoin(decisions, decisions.c.log_id == messages.c.log_id))
        .where(
            one_of(connection.dialect.name, messages.c.account_id, "ids"),
            messages.c.created_at > after,
            messages.c.created_at <= until,
            messages.c.outbound,
            messages.c.from_business.is_(False),
        )
        .order_by(messages.c.created_at, messages.c.id)
        .limit(limit)
    )
    rows = await connection.execute(query, {"ids": list(account_ids)})
    return [_outbound(row) for row in rows]


async def read_evidence(connection: AsyncConnection, found: Sequence[Outbound]) -> Evidence:
    """What is to be known of these messages; there is at least one."""
    people = {"ids": sorted({message.person_id for message in found})}
    first = min(message.decided_at for message in found)
    last = max(max(message.decided_at, message.handed_out_at or first) for message in found)
    inbound = await _read_inbound(connection, people, first, last + OVERLAP)
    pairs = {(message.instance_id, message.person_id) for message in found}
    return Evidence(
        messages=found,
        pauses=await _read_pauses(connection, first - OVERLAP, last),
        opt_outs=await _read_opt_outs(connection, people, first - OVERLAP),
        joined_at=await _read_joins(connection, people),
        inbound=inbound,
        windows=await _read_windows(connection, pairs - inbound.keys()),
    )


async def read_decisions(
    connection: AsyncConnection, after: int, until: datetime, limit: int
) -> tuple[list[AnsweredDecision], int]:
    """Rows of the policy log after a number, decided until a moment, that send or name a message; and the number
    of the last row that was looked at.
    """
    rows = await connection.execute(
        select(*_DECISION, messages.c.log_id.label("message_log_id"))
        .select_from(decisions.outerjoin(messages, messages.c.id == decisions.c.message_id))
        .where(decisions.c.log_id > after)
        .order_by(decisions.c.log_id)
        .limit(limit)
    )
    found = []
    for *columns, message_log_id in rows:
        decision = _decision(columns)
        if decision.decided_at > until:
            break
        after = decision.log_id
        if decision.sends or decision.message_id is not None:
            found.append(AnsweredDecision(decision, message_log_id))
    return found, after


async def read_day(
    connection: AsyncConnection,
    account_ids: Sequence[str],
    day: date,
    span: tuple[datetime, datetime],
    most: int,
) -> list[Usage]:
    """Of each account what is counted in a day, and how many messages made in `span` hold it. Accounts with more
    than `most` messages in it are left out. One statement sees both numbers at one moment.
    """
    held = (
        select(func.count())
        .where(
            messages.c.account_id == accounts.c.id,
            messages.c.created_at >= span[0],
            messages.c.created_at < span[1],
            messages.c.reserved_day == day.isoformat(),
            messages.c.state.not_in(_HOLDS_NO_QUOTA),
        )
        .correlate(accounts)
        .scalar_subquery()
    )
    used = func.coalesce(quota_usage.c.used, 0)
    return await _read_usages(
        connection, account_ids, day.isoformat(), case((used <= most, held), else_=null())
    )


async def read_month(
    connection: AsyncConnection, account_ids: Sequence[str], month: str, days: Sequence[str]
) -> list[Usage]:
    """Of each account what is counted in a month, and the sum of its days."""
    of_day = quota_usage.alias("of_day")
    held = (
        select(func.coalesce(cast(func.sum(of_day.c.used), BigInteger), 0))
        .where(of_day.c.account_id == accounts.c.id, of_day.c.period.in_(days))
        .correlate(accounts)
        .scalar_subquery()
    )
    return await _read_usages(connection, account_ids, month, held)


async def _read_usages(
    connection: AsyncConnection, account_ids: Sequence[str], period: str, held: ColumnElement[Any]
) -> list[Usage]:
    counted = and_(quota_usage.c.account_id == accounts.c.id, quota_usage.c.period == period)
    rows = await connection.execute(
        select(accounts.c.id, func.coalesce(quota_usage.c.used, 0).label("used"), held.label("held"))
        .select_from(accounts.outerjoin(quota_usage, counted))
        .where(one_of(connection.dialect.name, accounts.c.id, "ids")),
        {"ids": list(account_ids)},
    )
    return [Usage(row.id, period, row.used, row.held) for row in rows if row.held is not None]


def _outbound(row: Sequence[Any]) -> Outbound:
    """Of the columns of `_MESSAGE` and `_DECISION`; by place, for by name costs twice as much."""
    message_id, account_id, instance_id, integration_id, person_id, state, error_code, log_id, *others = row
    created_at, not_after, handed_out_at, confirms_opt_out, *decision = others
    return Outbound(
        message_id,
        account_id,
        instance_id,
        integration_id,
        person_id,
        MessageState(state),
        error_code,
        log_id,
        created_at,
        not_after,
        handed_out_at,
        confirms_opt_out,
        None if decision[0] is None else _decision(decision),
    )


def _decision(row: Sequence[Any]) -> LoggedDecision:
    """Of the columns of `_DECISION`."""
    log_id, decision_id, decided_at, account_id, person_id, message_id, verdict, action = row
    sends = verdict == int(Verdict.ALLOW) and action == int(Action.SEND)
    return LoggedDecision(log_id, decision_id, decided_at, account_id, person_id, message_id, sends)


async def _read_pauses(connection: AsyncConnection, first: datetime, last: datetime) -> list[PauseSpan]:
    columns = (pauses.c.id, pauses.c.scope, pauses.c.scope_id, pauses.c.created_at)
    rows = await connection.execute(
        select(*columns, pauses.c.lifted_at, pauses.c.until)
        .where(
            pauses.c.created_at <= last,
            or_(pauses.c.lifted_at.is_(None), pauses.c.lifted_at > first),
            or_(pauses.c.until.is_(None), pauses.c.until > first),
        )
        .order_by(pauses.c.created_at)
    )
    return [PauseSpan(*row) for row in rows]


async def _read_opt_outs(
    connection: AsyncConnection, people: dict[str, list[str]], first: datetime
) -> dict[str, list[OptOutSpan]]:
    """Entries that held after `first`. An opt-out by a message is answered in its own transaction, and so has a
    number in the policy log.
    """
    number = (
        select(func.max(decisions.c.log_id))
        .where(
            decisions.c.person_id == suppressions.c.person_id,
            decisions.c.decided_at == suppressions.c.created_at,
            decisions.c.caller == "gateway",
        )
        .correlate(suppressions)
        .scalar_subquery()
    )
    columns = (suppressions.c.id, suppressions.c.created_at, suppressions.c.lifted_at)
    rows = await connection.execute(
        select(suppressions.c.person_id, *columns, number.label("log_id"))
        .where(
            one_of(connection.dialect.name, suppressions.c.person_id, "ids"),
            suppressions.c.scope != "marketing",
            or_(suppressions.c.lifted_at.is_(None), suppressions.c.lifted_at > first),
        )
        .order_by(suppressions.c.created_at),
        people,
    )
    found: dict[str, list[OptOutSpan]] = {}
    for person_id, *span in rows:
        found.setdefault(person_id, []).append(OptOutSpan(*span))
    return found


async def _read_joins(connection: AsyncConnection, people: dict[str, list[str]]) -> dict[str, datetime]:
    rows = await connection.execute(
        select(persons.c.merged_into, func.max(persons.c.merged_at))
        .where(
            persons.c.merged_into.is_not(None),
            one_of(connection.dialect.name, persons.c.merged_into, "ids"),
            persons.c.merged_at.is_not(None),
        )
        .group_by(persons.c.merged_into),
        people,
    )
    return {row[0]: row[1] for row in rows}


async def _read_inbound(
    connection: AsyncConnection, people: dict[str, list[str]], first: datetime, last: datetime
) -> dict[Pair, list[InboundMoment]]:
    """When persons wrote: of what was recorded before `first` the latest, of the rest every moment."""
    provider_first = messages.c.provider_at < messages.c.created_at
    wrote_at = case((provider_first, messages.c.provider_at), else_=messages.c.created_at)
    pair = (messages.c.instance_id, messages.c.person_id)
    theirs = (
        one_of(connection.dialect.name, messages.c.person_id, "ids"),
        messages.c.outbound.is_(False),
    )
    before = (messages.c.created_at > first - _LOOK_BACK, messages.c.created_at <= first)
    since = (messages.c.created_at > first, messages.c.created_at <= last)
    found: dict[Pair, list[InboundMoment]] = {}
    latest = select(*pair, func.max(wrote_at)).where(*theirs, *before).group_by(*pair)
    for instance_id, person_id, moment in await connection.execute(latest, people):
        found[instance_id, person_id] = [InboundMoment(first, moment)]
    each = select(*pair, messages.c.created_at, wrote_at.label("wrote_at")).where(*theirs, *since)
    for instance_id, person_id, recorded_at, moment in await connection.execute(each, people):
        found.setdefault((instance_id, person_id), []).append(InboundMoment(recorded_at, moment))
    return found


async def _read_windows(connection: AsyncConnection, pairs: set[Pair]) -> dict[Pair, datetime]:
    if not pairs:
        return {}
    columns = (windows.c.instance_id, windows.c.person_id, windows.c.last_inbound_at)
    rows = await connection.execute(
        select(*columns).where(one_of(connection.dialect.name, windows.c.person_id, "ids")),
        {"ids": sorted({person_id for _, person_id in pairs})},
    )
    return {(row[0], row[1]): row[2] for row in rows if (row[0], row[1]) in pairs}
