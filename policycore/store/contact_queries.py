"""Who wrote to whom, in SQL."""

from collections.abc import Sequence

from sqlalchemy import exists, select

from policycore.reading import Contact
from policycore.store.engine import Database
from policycore.store.tables import identities, persons, windows


class SqlContacts:
    """Implements `policycore.reading.Contacts` over one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def who_wrote(self, account_id: str, phone: str, instance_ids: Sequence[str]) -> Contact | None:
        """The person with this number, if they ever wrote to one of the instances: that is what made a window."""
        if not instance_ids:
            return None
        wrote = exists().where(
            windows.c.person_id == persons.c.id, windows.c.instance_id.in_(sorted(instance_ids))
        )
        statement = (
            select(persons.c.id, persons.c.display_name)
            .join(identities, identities.c.person_id == persons.c.id)
            .where(
                identities.c.account_id == account_id,
                identities.c.kind == "phone",
                identities.c.value == phone,
                wrote,
            )
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else Contact(row.id, row.display_name, phone)
