"""Fills a database to a size, with rows of the product's own shape, by statements that PostgreSQL runs by itself.

All numbers in these statements are the bench's own. They run on connections of their own, for the product's give a
statement 15 s.
"""

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from policycore.store import tables
from policycore.store.config_reader import bump_version
from policycore.store.partitions import Month, make_partition, read_partitions
from policycore.store.types import to_microseconds

MONTHS = 12
"""The filled policy log is spread over so many months that are over."""

FIRST_NUMBER = 1_000_000
LOG_PERSONS = 20_000
LOG_INTEGRATIONS = 200
MESSAGE_OF_EVERY = 10
"""One in so many filled decisions has its message. Looking one up by id costs the same levels of an index."""

QUIET_PERSON = "per_quiet"
QUIET_INTEGRATION = "int_quiet"
QUIET_ROWS = 5
"""Named by so many rows, all in the oldest month: whoever walks the log to find them walks all of it."""

_HOUR = 3_600_000_000


def phone_of(number: int) -> str:
    """The number of a filled person, from 1."""
    return f"+9665{number:08d}"


def _person_id(number: str) -> str:
    return f"'per_' || lpad(({number})::text, 20, '0')"


async def allow_much(engine: AsyncEngine) -> None:
    """A plan that no run uses up, by configuration."""
    async with engine.begin() as connection:
        limits = {"plan": 4, "daily_limit": 10**9, "monthly_limit": 10**9}
        await connection.execute(update(tables.accounts).values(limits))
        await bump_version(connection)


async def settle(engine: AsyncEngine) -> None:
    """Statistics as autovacuum would keep them, and nothing left to write for what was filled."""
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await alone.execute(text("ANALYZE"))
        await alone.execute(text("CHECKPOINT"))


async def fill_persons(engine: AsyncEngine, count: int, now_microseconds: int) -> None:
    """Persons who wrote an hour ago: each with a number and an open window."""
    wrote, of_number = now_microseconds - _HOUR, f"FROM generate_series(1, {count}) AS n"
    person = _person_id("n")
    for statement in (
        f"INSERT INTO persons (id, account_id, created_at) SELECT {person}, 'acc_1', {wrote} {of_number}",
        (
            "INSERT INTO identities (account_id, kind, value, person_id, created_at)"
            f" SELECT 'acc_1', 'phone', '+9665' || lpad(n::text, 8, '0'), {person}, {wrote} {of_number}"
        ),
        (
            "INSERT INTO windows (instance_id, person_id, account_id, last_inbound_at, conversation_id)"
            f" SELECT 'ins_1', {person}, 'acc_1', {wrote}, 'cnv_' || md5(n::text) {of_number}"
        ),
    ):
        async with engine.begin() as connection:
            await connection.execute(text(statement))


async def fill_suppressions(engine: AsyncEngine, count: int, now_microseconds: int) -> None:
    """Opt-outs of the first persons."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO suppressions (id, account_id, person_id, source, scope, created_at)"
                f" SELECT 'sup_' || n, 'acc_1', {_person_id('n')}, 'person', 'all', {now_microseconds - _HOUR}"
                f" FROM generate_series(1, {count}) AS n"
            )
        )


async def fill_integrations(engine: AsyncEngine, count: int) -> None:
    """Integrations up to a number of them, all on the same instance."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO integrations (id, account_id, name, default_instance_id, country, created_at)"
                " SELECT 'int_' || n, account_id, '3CX ' || n, default_instance_id, country, created_at"
                f" FROM integrations, generate_series(2, {count}) AS n WHERE id = 'int_1'"
            )
        )
        await connection.execute(
            text(
                "INSERT INTO integration_instances (integration_id, instance_id)"
                " SELECT id, 'ins_1' FROM integrations"
            )
        )
        await bump_version(connection)


async def fill_log(engine: AsyncEngine, rows: int, this_month: Month) -> None:
    """Rows of the policy log, copies of one that was really decided, spread over the months that are over.

    Each month is made and filled in one transaction: a server that has no replicas to tell then writes it once only.
    """
    share = rows // MONTHS
    for place in range(MONTHS):
        month = this_month.later(place - MONTHS)
        count = share if place < MONTHS - 1 else rows - share * (MONTHS - 1)
        async with engine.begin() as connection:
            known = {partition.name for partition in await read_partitions(connection)}
            if f"decisions_{month}" not in known:
                await make_partition(connection, month)
            await _fill_month(connection, month, share * place, count)
    async with engine.begin() as connection:
        await connection.execute(text(_MESSAGES))
        await connection.execute(
            text("SELECT setval('decision_log_ids', (SELECT max(log_id) FROM decisions))")
        )


_COPIED = (
    "account_id, instance_id, caller, source, event_type, purpose, phone_masked, conversation_id, verdict, reason,"
    " action, risk_score, retry_after_seconds, rules_version, explanation, findings_json, inputs_json"
)


async def _fill_month(connection: AsyncConnection, month: Month, first: int, count: int) -> None:
    begins, ends = to_microseconds(month.first), to_microseconds(month.later(1).first)
    quiet = f"{first} + n <= {QUIET_ROWS}"
    await connection.execute(
        text(
            "WITH sample AS MATERIALIZED (SELECT * FROM decisions ORDER BY log_id LIMIT 1)"
            f" INSERT INTO decisions_{month}"
            f" (log_id, id, decided_at, integration_id, person_id, message_id, {_COPIED})"
            f" SELECT {FIRST_NUMBER + first} + n, 'dec_' || substr(md5('d' || {first} + n), 1, 20),"
            f" {begins} + n * {(ends - begins - 1) // (count + 1)}::bigint,"
            f" CASE WHEN {quiet} THEN '{QUIET_INTEGRATION}' ELSE 'int_' || 1 + n % {LOG_INTEGRATIONS} END,"
            f" CASE WHEN {quiet} THEN '{QUIET_PERSON}' ELSE {_person_id(f'1 + n % {LOG_PERSONS}')} END,"
            f" 'msg_' || substr(md5('m' || {first} + n), 1, 20), {_COPIED}"
            f" FROM sample, generate_series(1, {count}) AS n"
        )
    )


_MESSAGES = f"""
WITH sample AS MATERIALIZED (SELECT * FROM messages WHERE outbound ORDER BY created_at LIMIT 1)
INSERT INTO messages (id, account_id, instance_id, integration_id, person_id, conversation_id, outbound, state,
    external_id, kind, text, text_digest, to_phone, event_type, purpose, log_id, created_at, updated_at)
SELECT d.message_id, s.account_id, s.instance_id, d.integration_id, d.person_id, s.conversation_id, true, 5,
    'x' || d.log_id, s.kind, s.text, sha256(d.message_id::bytea), s.to_phone, s.event_type, s.purpose, d.log_id,
    d.decided_at, d.decided_at
FROM decisions AS d, sample AS s WHERE d.log_id > {FIRST_NUMBER} AND d.log_id % {MESSAGE_OF_EVERY} = 0"""
