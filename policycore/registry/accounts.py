"""Owns accounts: making, changing and listing them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.registry.fields import check_language, check_name, check_time_zone
from policycore.registry.lookups import find_account
from policycore.registry.pages import Filter, Page, PageRequest
from policycore.registry.ports import RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import AccountRow, Plan

_MOST_MESSAGES = 1_000_000_000


class Accounts:
    """The customers. `values` are columns of `AccountRow` by name."""

    def __init__(self, store: RegistryStore, random_bytes: RandomBytes) -> None:
        self._store = store
        self._random_bytes = random_bytes

    async def create(self, caller: Identity, values: Mapping[str, Any]) -> AccountRow:
        """Makes an account. Errors: `NotPermittedError`, `Malformed`."""
        caller.require_platform()
        async with self._store.changing() as rows:
            account_id = new_id("acc_", self._random_bytes)
            row = _checked(AccountRow(id=account_id, created_at=rows.now, **values))
            await rows.accounts.add(row)
            await rows.write_audit(caller.name, "CreateAccount", row.id, row.id, dict(values))
            await rows.raise_version()
        return row

    async def update(self, caller: Identity, account_id: str, values: Mapping[str, Any]) -> AccountRow:
        """Changes an account. Errors: `NotPermittedError`, `NotFound`, `Malformed`."""
        async with self._store.changing() as rows:
            before = await find_account(rows, account_id, caller)
            if _raises_own_limits(values):
                # An account's administrator does not grant itself fair use.
                caller.require_platform()
            if values.get("plan", before.plan) != Plan.CUSTOM:
                before = replace(before, daily_limit=None, monthly_limit=None)
            row = _checked(replace(before, **values))
            await rows.accounts.change(row.id, _columns(row))
            await rows.write_audit(caller.name, "UpdateAccount", row.id, row.id, dict(values))
            await rows.raise_version()
        return row

    async def page(self, caller: Identity, request: PageRequest) -> Page[AccountRow]:
        """The accounts the caller may see, oldest first."""
        wanted = Filter() if caller.every_account else Filter(among={"id": caller.account_ids})
        async with self._store.reading() as rows:
            return await rows.accounts.page(request, wanted)


def _raises_own_limits(values: Mapping[str, Any]) -> bool:
    # The time zone is among them: whoever moves midnight begins a fresh day.
    own_limits = {"plan", "daily_limit", "monthly_limit", "threecx_module_enabled", "time_zone"}
    return bool(own_limits & set(values))


def _checked(row: AccountRow) -> AccountRow:
    plan = row.plan or Plan.STARTER
    if plan not in set(Plan):
        raise Malformed("account.plan", f"is not a plan: {plan}.")
    limits = {"account.daily_limit": row.daily_limit, "account.monthly_limit": row.monthly_limit}
    for field, limit in limits.items():
        if plan == Plan.CUSTOM and (limit is None or not 0 <= limit <= _MOST_MESSAGES):
            raise Malformed(field, f"must lie between 0 and {_MOST_MESSAGES} with plan CUSTOM.")
        if plan != Plan.CUSTOM and limit is not None:
            raise Malformed(field, "needs plan CUSTOM.")
    return replace(
        row,
        name=check_name("account.name", row.name),
        time_zone=check_time_zone("account.time_zone", row.time_zone),
        plan=int(plan),
        language=check_language("account.language", row.language),
    )


def _columns(row: AccountRow) -> dict[str, object]:
    names = (
        "name",
        "time_zone",
        "plan",
        "daily_limit",
        "monthly_limit",
        "threecx_module_enabled",
        "language",
    )
    return {name: getattr(row, name) for name in names}
