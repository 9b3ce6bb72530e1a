"""Rows of a batch, written together: the same on both databases, and as strict as rows written one by one."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from policycore.errors import Contended, Malformed
from policycore.store.batch_values import Rows, insert_rows, one_of, one_of_rows, rows_parameter
from policycore.store.tables import quota_usage, signature_claims
from support.core_parts import CoreParts


def quota(period: str, used: int) -> dict[str, Any]:
    return {"account_id": "acc_1", "period": period, "used": used}


async def write(core: CoreParts, *parts: Rows) -> None:
    async with core.database.transaction() as connection:
        await insert_rows(connection, *parts)


async def test_every_part_is_written_and_what_adds_adds(core: CoreParts) -> None:
    claims = [{"digest": bytes([n]) * 32, "expires_at": core.clock()} for n in range(70)]
    await write(core, Rows(quota_usage, [quota("2026-03", 5)], adds="used"))
    changed = [quota("2026-03", -2), quota("2026-04", 1)]
    await write(core, Rows(signature_claims, claims), Rows(quota_usage, changed, adds="used"))
    assert {row.digest for row in await core.rows(signature_claims)} == {claim["digest"] for claim in claims}
    assert {row.expires_at for row in await core.rows(signature_claims)} == {core.clock()}
    assert {row.period: row.used for row in await core.rows(quota_usage)} == {"2026-03": 3, "2026-04": 1}


async def test_parts_without_rows_are_no_work(core: CoreParts) -> None:
    await write(core, Rows(signature_claims, []), Rows(quota_usage, [], adds="used"))
    assert not await core.rows(signature_claims)
    assert not await core.rows(quota_usage)


async def test_a_row_that_is_there_already_stops_all_parts(core: CoreParts) -> None:
    claim = {"digest": b"d" * 32, "expires_at": core.clock()}
    await write(core, Rows(signature_claims, [claim]))
    with pytest.raises((IntegrityError, Contended)):
        await write(
            core, Rows(quota_usage, [quota("2026-03", 1)], adds="used"), Rows(signature_claims, [claim])
        )
    assert not await core.rows(quota_usage)


async def test_what_is_too_long_for_its_column_is_refused_and_not_cut(core: CoreParts) -> None:
    if not core.database.is_postgres:
        # SQLite knows no lengths: it keeps the whole value.
        await write(core, Rows(quota_usage, [quota("p" * 500, 1)], adds="used"))
        assert [row.period for row in await core.rows(quota_usage)] == ["p" * 500]
        return
    with pytest.raises((DBAPIError, Malformed)):
        await write(core, Rows(quota_usage, [quota("p" * 500, 1)], adds="used"))
    assert not await core.rows(quota_usage)


@pytest.mark.parametrize("wanted", [[], ["2026-03"], ["2026-03", "2026-05", "nothing"]])
async def test_a_list_finds_what_is_in_it(core: CoreParts, wanted: list[str]) -> None:
    dialect = "postgresql" if core.database.is_postgres else "sqlite"
    periods = ["2026-03", "2026-04", "2026-05"]
    async with core.database.transaction() as connection:
        await insert_rows(
            connection, Rows(quota_usage, [quota(period, 1) for period in periods], adds="used")
        )
        one = select(quota_usage.c.period).where(one_of(dialect, quota_usage.c.period, "wanted"))
        found = set((await connection.execute(one, {"wanted": wanted})).scalars())
        assert found == set(wanted) & set(periods)
        if wanted:
            key = (quota_usage.c.account_id, quota_usage.c.period)
            rows = select(quota_usage.c.period).where(one_of_rows(dialect, key, "keys"))
            pairs = rows_parameter(dialect, "keys", [("acc_1", period) for period in wanted])
            assert set((await connection.execute(rows, pairs)).scalars()) == found
