"""Owns finding rows a caller may act on: what is another account's looks like what does not exist."""

from typing import Protocol, TypeVar

from policycore.errors import NotFound
from policycore.registry.pages import Filter
from policycore.registry.ports import RegistryRows, Rows
from policycore.registry.rights import Identity
from policycore.registry.rows import AccountRow


class _Owned(Protocol):
    @property
    def account_id(self) -> str: ...


OwnedRow = TypeVar("OwnedRow", bound=_Owned)


async def find_owned(rows: Rows[OwnedRow], row_id: str, caller: Identity, what: str) -> OwnedRow:
    """The row. Errors: `NotFound` if there is none, or the caller may not act for its account."""
    row = await rows.find(row_id)
    if row is None or not caller.may_act_for(row.account_id):
        raise NotFound(f"There is no {what} {row_id[:64]!r}.")
    return row


async def find_account(rows: RegistryRows, account_id: str, caller: Identity) -> AccountRow:
    """The account. Errors: `NotPermittedError` before anything else, then `NotFound`."""
    caller.require_account(account_id)
    account = await rows.accounts.find(account_id)
    if account is None:
        raise NotFound(f"There is no account {account_id[:64]!r}.")
    return account


def within(caller: Identity, account_id: str, **equal: object) -> Filter:
    """The rows of one account, or of all that the caller may act for. Errors: `NotPermittedError`."""
    wanted = {name: value for name, value in equal.items() if value not in ("", None)}
    if account_id:
        caller.require_account(account_id)
        return Filter(equal={**wanted, "account_id": account_id})
    if caller.every_account:
        return Filter(equal=wanted)
    return Filter(equal=wanted, among={"account_id": caller.account_ids})
