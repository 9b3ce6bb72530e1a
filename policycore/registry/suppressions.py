"""Owns entries that block a person: made by administrators and imports, listed, and lifted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from policycore.errors import Malformed
from policycore.ids import RandomBytes, new_id
from policycore.ports import SenderGuards
from policycore.pseudonym import read_pseudonym
from policycore.registry.errors import NotPossibleError
from policycore.registry.fields import check_phone, check_text
from policycore.registry.lookups import find_account, find_owned
from policycore.registry.pages import Filter, Page, PageRequest
from policycore.registry.ports import RegistryRows, RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import PersonKey, SuppressionRow, SuppressionSource

# Longer than any permit lives: what was allowed before the entry is stopped at the socket.
_GUARDED_FOR = timedelta(minutes=5)

# Entries that are the person's own will, which nobody lifts without evidence of another.
_OWN_WISH = frozenset({SuppressionSource.PERSON, SuppressionSource.WHATSAPP})


@dataclass(frozen=True, slots=True)
class SuppressionView:
    """An entry with whom it is about. `asked_back`: they wrote an ambiguous word and have not answered."""

    row: SuppressionRow
    person: PersonKey
    asked_back: bool


class Suppressions:
    """Entries that block."""

    def __init__(self, store: RegistryStore, guards: SenderGuards, random_bytes: RandomBytes) -> None:
        self._store = store
        self._guards = guards
        self._random_bytes = random_bytes

    async def create(
        self, caller: Identity, account_id: str, person: PersonKey, source: str, reason: str
    ) -> SuppressionView:
        """Suppresses a person for every purpose; an entry that blocks already is answered again.

        Errors: `NotPermittedError`, `NotFound`, `Malformed`.
        """
        if source not in {SuppressionSource.ADMINISTRATOR, SuppressionSource.IMPORT}:
            raise Malformed("source", "must be ADMINISTRATOR or IMPORT; a person opts out by writing.")
        reason = check_text("reason", reason.strip(), 1000)
        person = check_person("person", person)
        async with self._store.changing() as rows:
            await find_account(rows, account_id, caller)
            person_id = await rows.persons.lock(await rows.persons.find_or_create(account_id, person))
            row = await rows.persons.suppression(account_id, person_id)
            if row is None:
                row = SuppressionRow(
                    id=new_id("sup_", self._random_bytes),
                    account_id=account_id,
                    person_id=person_id,
                    source=source,
                    scope="all",
                    reason=reason,
                    created_at=rows.now,
                    author=caller.name,
                )
                await rows.suppressions.add(row)
                detail = {"person_id": person_id, "source": source, "reason": reason}
                await rows.write_audit(caller.name, "CreateSuppression", row.id, account_id, detail)
            view = (await _views(rows, [row]))[0]
            until = rows.now + _GUARDED_FOR
        self._guards.opted_out(person_id, until)
        return view

    async def lift(
        self, caller: Identity, suppression_id: str, reason: str, evidence: str
    ) -> SuppressionView:
        """Lifts an entry; one that was lifted stays as it is.

        Errors: `NotFound`, `Malformed`, and `NotPossibleError` for a person's own wish without evidence.
        """
        reason = check_text("reason", reason.strip(), 1000)
        evidence = check_text("evidence", evidence.strip(), 4000)
        async with self._store.changing() as rows:
            row = await find_owned(rows.suppressions, suppression_id, caller, "suppression")
            if row.lifted_at is None:
                if row.source in _OWN_WISH and not evidence:
                    raise NotPossibleError(
                        "EVIDENCE_REQUIRED",
                        "The person opted out; lifting that needs evidence of the person's new wish.",
                    )
                row = await _lift(rows, caller, row, reason, evidence)
            view = (await _views(rows, [row]))[0]
            still_blocked = await rows.persons.suppression(row.account_id, row.person_id) is not None
        if not still_blocked:
            self._guards.opt_out_lifted(row.person_id)
        return view

    async def page(
        self,
        caller: Identity,
        account_id: str,
        person: PersonKey | None,
        request: PageRequest,
        *,
        include_lifted: bool,
    ) -> Page[SuppressionView]:
        """Entries, newest first. Errors: `NotPermittedError`, `NotFound`, `Malformed`."""
        equal: dict[str, object] = {"account_id": account_id}
        async with self._store.reading() as rows:
            await find_account(rows, account_id, caller)
            if person is not None:
                person_id = await rows.persons.find(account_id, check_person("person", person))
                if person_id is None:
                    return Page(())
                equal["person_id"] = person_id
            wanted = Filter(equal=equal, absent=() if include_lifted else ("lifted_at",))
            found = await rows.suppressions.page(request, wanted, newest_first=True)
            return Page(tuple(await _views(rows, found.rows)), found.next_token)


def check_person(field: str, person: PersonKey) -> PersonKey:
    """A person by at least one identity, the number in E.164 or a pseudonym. Errors: `Malformed`."""
    if not (person.phone or person.lid or person.bsuid):
        raise Malformed(field, "must hold a phone, a lid or a business_scoped_id.")
    lid = person.lid.strip().removesuffix("@lid")
    if lid and not (lid.isascii() and lid.isdigit() and len(lid) <= 64):
        raise Malformed(f"{field}.lid", "must be digits.")
    bsuid = check_text(f"{field}.business_scoped_id", person.bsuid.strip(), 160)
    number = read_pseudonym(person.phone) or check_phone(f"{field}.phone", person.phone)
    return PersonKey(number, lid, bsuid)


async def _lift(
    rows: RegistryRows, caller: Identity, row: SuppressionRow, reason: str, evidence: str
) -> SuppressionRow:
    why = f"{reason}\nEvidence: {evidence}".strip() if evidence else reason
    lifted = replace(row, lifted_at=rows.now, lifted_by=caller.name, lifted_reason=why)
    await rows.suppressions.change(
        row.id, {"lifted_at": lifted.lifted_at, "lifted_by": caller.name, "lifted_reason": why}
    )
    detail = {"person_id": row.person_id, "source": row.source, "reason": reason, "evidence": evidence}
    await rows.write_audit(caller.name, "LiftSuppression", row.id, row.account_id, detail)
    return lifted


async def _views(rows: RegistryRows, found: Sequence[SuppressionRow]) -> list[SuppressionView]:
    if not found:
        return []
    person_ids = [row.person_id for row in found]
    known = await rows.persons.identities(person_ids)
    asked = await rows.persons.asked_back(found[0].account_id, person_ids)
    return [
        SuppressionView(row, known.get(row.person_id, PersonKey()), row.person_id in asked) for row in found
    ]
