"""Owns pauses: switches a person sets at platform, account, instance, integration or person."""

from dataclasses import dataclass, replace
from datetime import datetime

from policycore.errors import Malformed, NotFound
from policycore.ids import RandomBytes, new_id
from policycore.ports import SenderGuards
from policycore.registry.fields import check_text
from policycore.registry.lookups import find_account, find_owned
from policycore.registry.pages import Filter, Page, PageRequest
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import PauseRow, PauseScope, PersonKey
from policycore.registry.suppressions import check_person

CONFIRMATION_SECONDS = 3.0
"""How long senders are waited for that do not say that they obey. Such a one may hear another policy core, which
repeats what it knows for at most 1.5 s without news from the database; and once it has heard nothing for 1 s, it
attempts nothing.
"""


@dataclass(frozen=True, slots=True)
class NewPause:
    """What is to be paused. A person is named by id, or by account and identity."""

    scope: str
    scope_id: str
    account_id: str
    person: PersonKey | None
    reason: str
    until: datetime | None


class Pauses:
    """The pauses."""

    def __init__(self, store: RegistryStore, guards: SenderGuards, random_bytes: RandomBytes) -> None:
        self._store = store
        self._guards = guards
        self._random_bytes = random_bytes

    async def create(self, caller: Identity, wanted: NewPause) -> tuple[PauseRow, int]:
        """Pauses; returns the row and how many senders obey it.

        When it returns, every sender obeys the pause or, unheard of for too long, attempts nothing by itself.
        Errors: `NotPermittedError`, `NotFound`, `Malformed`.
        """
        reason = check_text("reason", wanted.reason.strip(), 1000)
        async with self._store.changing() as rows:
            scope_id, account_id = await _target(rows, caller, wanted)
            if wanted.until is not None and wanted.until <= rows.now:
                raise Malformed("until", "must lie in the future.")
            row = PauseRow(
                id=new_id("pau_", self._random_bytes),
                scope=wanted.scope,
                scope_id=scope_id,
                account_id=account_id,
                author=caller.name,
                reason=reason,
                until=wanted.until,
                created_at=rows.now,
            )
            await rows.pauses.add(row)
            detail = {"scope": row.scope, "scope_id": scope_id, "reason": reason, "until": row.until}
            await rows.write_audit(caller.name, "CreatePause", row.id, account_id, detail)
            version = await rows.raise_version()
        return row, await self._guards.confirm(version, CONFIRMATION_SECONDS)

    async def lift(self, caller: Identity, pause_id: str) -> PauseRow:
        """Ends a pause; one that was lifted stays as it is. Errors: `NotFound`."""
        async with self._store.changing() as rows:
            row = await rows.pauses.find(pause_id)
            if row is None or not _may_act_on(caller, row):
                raise NotFound(f"There is no pause {pause_id[:64]!r}.")
            if row.lifted_at is not None:
                return row
            lifted = replace(row, lifted_at=rows.now, lifted_by=caller.name)
            await rows.pauses.change(row.id, {"lifted_at": rows.now, "lifted_by": caller.name})
            detail = {"scope": row.scope, "scope_id": row.scope_id}
            await rows.write_audit(caller.name, "LiftPause", row.id, row.account_id, detail)
            await rows.raise_version()
        return lifted

    async def page(
        self, caller: Identity, account_id: str, request: PageRequest, *, include_ended: bool
    ) -> Page[PauseRow]:
        """Pauses, newest first; those of the platform are left out for an account. Errors:
        `NotPermittedError`.
        """
        equal: dict[str, object] = {}
        among: dict[str, frozenset[str]] = {}
        if account_id:
            caller.require_account(account_id)
            equal["account_id"] = account_id
        elif not caller.every_account:
            among["account_id"] = caller.account_ids
        async with self._store.reading() as rows:
            wanted = Filter(equal=equal, among=among)
            if not include_ended:
                wanted = replace(wanted, absent=("lifted_at",), after={"until": rows.now})
            return await rows.pauses.page(request, wanted, newest_first=True)


def _may_act_on(caller: Identity, row: PauseRow) -> bool:
    return caller.every_account if row.account_id is None else caller.may_act_for(row.account_id)


async def _target(rows: RegistryRows, caller: Identity, wanted: NewPause) -> tuple[str, str | None]:
    """Id of what is paused, and the account concerned."""
    if wanted.scope == PauseScope.PLATFORM:
        caller.require_platform()
        if wanted.scope_id:
            raise Malformed("scope_id", "must be empty for the platform.")
        return "", None
    if wanted.scope == PauseScope.PERSON:
        return await _person(rows, caller, wanted)
    if not wanted.scope_id:
        raise Malformed("scope_id", f"must name the {wanted.scope}.")
    if wanted.scope == PauseScope.ACCOUNT:
        account = await find_account(rows, wanted.scope_id, caller)
        return account.id, account.id
    if wanted.scope == PauseScope.INSTANCE:
        instance = await find_owned(rows.instances, wanted.scope_id, caller, "instance")
        return instance.id, instance.account_id
    if wanted.scope == PauseScope.INTEGRATION:
        integration = await find_owned(rows.integrations, wanted.scope_id, caller, "integration")
        return integration.id, integration.account_id
    raise Malformed("scope", f"must be one of {', '.join(PauseScope)}.")


async def _person(rows: RegistryRows, caller: Identity, wanted: NewPause) -> tuple[str, str]:
    if wanted.person is not None:
        account = await find_account(rows, wanted.account_id, caller)
        person = check_person("person", wanted.person)
        return await rows.persons.lock(await rows.persons.find_or_create(account.id, person)), account.id
    account_id = await rows.persons.account_of(wanted.scope_id)
    if account_id is None or not caller.may_act_for(account_id):
        raise NotFound(f"There is no person {wanted.scope_id[:64]!r}.")
    return await rows.persons.lock(wanted.scope_id), account_id
