"""Owns what hangs on other registry rows: integrations' instances, secrets and templates; rules; persons."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from policycore.errors import NotFound
from policycore.pseudonym import KIND as PSEUDONYM
from policycore.registry.rows import PersonKey, SecretRow, SuppressionRow, TemplateRow
from policycore.registry.rule_sets import RuleSet, read_rule_set, write_rule_set
from policycore.store.persons import (
    Identity,
    add_identity,
    find_or_create_person,
    find_persons,
    identities_of,
    lock_person,
    numbered,
)
from policycore.store.registry_tables import row_of
from policycore.store.tables import (
    clarifications,
    integration_instances,
    integration_secrets,
    persons,
    rules,
    suppressions,
    templates,
)


class SqlIntegrationParts:
    """Instances, secrets and templates of integrations."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def instance_ids(self, integration_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Instances each integration serves."""
        table = integration_instances
        query = select(table).where(table.c.integration_id.in_(integration_ids)).order_by(table.c.instance_id)
        found: dict[str, tuple[str, ...]] = {}
        for row in await self._connection.execute(query):
            found[row.integration_id] = (*found.get(row.integration_id, ()), row.instance_id)
        return found

    async def set_instances(self, integration_id: str, instance_ids: Sequence[str]) -> None:
        """Replaces the instances an integration serves."""
        table = integration_instances
        await self._connection.execute(delete(table).where(table.c.integration_id == integration_id))
        rows = [{"integration_id": integration_id, "instance_id": each} for each in sorted(set(instance_ids))]
        if rows:
            await self._connection.execute(insert(table), rows)

    async def secrets(self, integration_id: str) -> Sequence[SecretRow]:
        """Secrets, newest first."""
        table = integration_secrets
        query = (
            select(table)
            .where(table.c.integration_id == integration_id)
            .order_by(table.c.valid_until.is_(None).desc(), table.c.created_at.desc(), table.c.id)
        )
        found = await self._connection.execute(query)
        return [row_of(SecretRow, row) for row in found.mappings()]

    async def add_secret(self, row: SecretRow) -> None:
        """Inserts a secret."""
        await self._connection.execute(insert(integration_secrets).values(asdict(row)))

    async def end_secrets(self, integration_id: str, until: datetime) -> None:
        """Lets every secret that would count longer end at `until`."""
        table = integration_secrets
        await self._connection.execute(
            update(table)
            .where(
                table.c.integration_id == integration_id,
                or_(table.c.valid_until.is_(None), table.c.valid_until > until),
            )
            .values(valid_until=until)
        )

    async def templates(self, integration_id: str) -> Sequence[TemplateRow]:
        """Templates, by event type."""
        query = (
            select(templates)
            .where(templates.c.integration_id == integration_id)
            .order_by(templates.c.event_type)
        )
        return [row_of(TemplateRow, row) for row in (await self._connection.execute(query)).mappings()]

    async def put_templates(self, rows: Sequence[TemplateRow]) -> None:
        """Inserts or replaces templates."""
        for row in rows:
            await self._connection.execute(
                delete(templates).where(
                    templates.c.integration_id == row.integration_id,
                    templates.c.event_type == row.event_type,
                )
            )
        await self._connection.execute(insert(templates), [asdict(row) for row in rows])


class SqlRuleRows:
    """Rules, every version of them."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def newest(self, account_id: str) -> tuple[int, RuleSet] | None:
        """Version and rules of an account ('' is the platform), if any were ever set."""
        query = (
            select(rules.c.number, rules.c.rules_json)
            .where(rules.c.account_id == account_id)
            .order_by(rules.c.number.desc())
            .limit(1)
        )
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else (row.number, read_rule_set(row.rules_json))

    async def add(self, account_id: str, rule_set: RuleSet, author: str) -> int:
        """Appends a version and returns its number."""
        statement = insert(rules).values(
            account_id=account_id,
            rules_json=write_rule_set(rule_set),
            author=author,
            created_at=self._now,
        )
        found = await self._connection.execute(statement.returning(rules.c.number))
        return int(found.scalar_one())


class SqlPersons:
    """Persons as the registry needs them."""

    def __init__(self, connection: AsyncConnection, now: datetime) -> None:
        self._connection = connection
        self._now = now

    async def find_or_create(self, account_id: str, person: PersonKey) -> str:
        """Person id. Every other identity that is given is noted as this person's if it is nobody's yet."""
        known = await self.find(account_id, person)
        kinds = [each for each in _identities(account_id, person) if each[1] != PSEUDONYM]
        if known is None and not kinds:
            # A pseudonym is made for somebody; nobody is made for a pseudonym.
            raise NotFound("There is nobody by this pseudonym.")
        person_id = known or await find_or_create_person(self._connection, *kinds[0], self._now)
        for _, kind, value in kinds:
            await add_identity(self._connection, account_id, kind, value, person_id, self._now)
        return person_id

    async def find(self, account_id: str, person: PersonKey) -> str | None:
        """Person id, if known, by the first identity that is."""
        wanted = _identities(account_id, person)
        found = await find_persons(self._connection, wanted)
        return next((found[identity] for identity in wanted if identity in found), None)

    async def account_of(self, person_id: str) -> str | None:
        """Account that knows the person, if there is one."""
        query = select(persons.c.account_id).where(persons.c.id == person_id, persons.c.merged_into.is_(None))
        return (await self._connection.execute(query)).scalar_one_or_none()

    async def lock(self, person_id: str) -> str:
        """Makes an opt-out and a reply to the same person take turns; returns who that is by then."""
        return await lock_person(self._connection, person_id)

    async def identities(self, person_ids: Sequence[str]) -> Mapping[str, PersonKey]:
        """What is known of each person."""
        found = await identities_of(self._connection, person_ids)
        return {
            person_id: PersonKey(kinds.get("phone", ""), kinds.get("lid", ""), kinds.get("bsuid", ""))
            for person_id, kinds in found.items()
        }

    async def asked_back(self, account_id: str, person_ids: Sequence[str]) -> frozenset[str]:
        """Which of them wrote an ambiguous word and have not answered yet."""
        query = select(clarifications.c.person_id).where(
            clarifications.c.account_id == account_id, clarifications.c.person_id.in_(person_ids)
        )
        return frozenset((await self._connection.execute(query)).scalars())

    async def suppression(self, account_id: str, person_id: str) -> SuppressionRow | None:
        """The oldest entry that blocks every purpose, if any."""
        table = suppressions
        query = (
            select(table)
            .where(
                table.c.account_id == account_id,
                table.c.person_id == person_id,
                table.c.scope == "all",
                table.c.lifted_at.is_(None),
            )
            .order_by(table.c.created_at)
            .limit(1)
        )
        row = (await self._connection.execute(query)).mappings().one_or_none()
        return None if row is None else row_of(SuppressionRow, row)


def _identities(account_id: str, person: PersonKey) -> list[Identity]:
    number = [numbered(account_id, person.phone)] if person.phone else []
    kinds = (("lid", person.lid), ("bsuid", person.bsuid))
    return number + [(account_id, kind, value) for kind, value in kinds if value]
