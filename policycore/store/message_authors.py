"""Who wrote replies, kept beside the messages."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Exists, delete, exists, select

from policycore.model import REPLIES
from policycore.pbx_authors import LOOK_BACK, Authorship, Reply
from policycore.store.engine import Database
from policycore.store.persons import upsert
from policycore.store.tables import messages
from policycore.store.threecx_api_tables import message_authors

_MOST_REPLIES = 2_000
_CLEANED_AT_ONCE = 1_000


class SqlMessageAuthors:
    """The authors of one database's replies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unknown(self, account_id: str, integration_id: str) -> list[Reply]:
        """Replies of an integration, not older than `LOOK_BACK`, whose author is not known; the latest of them."""
        known: Exists = exists().where(message_authors.c.message_id == messages.c.id)
        async with self._database.reading() as connection:
            now = await self._database.now(connection)
            query = (
                select(messages.c.id, messages.c.to_phone, messages.c.text, messages.c.created_at)
                .where(
                    messages.c.account_id == account_id,
                    messages.c.created_at > now - LOOK_BACK,
                    messages.c.integration_id == integration_id,
                    messages.c.outbound,
                    messages.c.to_phone != "",
                    messages.c.event_type.in_(sorted(int(each) for each in REPLIES)),
                    ~known,
                )
                .order_by(messages.c.created_at.desc())
                .limit(_MOST_REPLIES)
            )
            return [Reply(*row) for row in await connection.execute(query)]

    async def already(self, integration_id: str, chat_message_ids: Sequence[str]) -> set[str]:
        """Which of these are known to be a reply's."""
        query = select(message_authors.c.chat_message_id).where(
            message_authors.c.integration_id == integration_id,
            message_authors.c.chat_message_id.in_(chat_message_ids),
        )
        async with self._database.reading() as connection:
            return set((await connection.execute(query)).scalars())

    async def note(self, integration_id: str, found: Iterable[Authorship]) -> int:
        """Keeps who wrote what; returns how many were not known. What is known stays as it is."""
        noted = 0
        async with self._database.transaction() as connection:
            now = await self._database.now(connection)
            for each in found:
                row = {
                    "message_id": each.message_id,
                    "integration_id": integration_id,
                    "chat_message_id": each.chat_message_id,
                    "extension": each.extension,
                    "name": each.name,
                    "noted_at": now,
                }
                # Somebody else may have looked at the same moment.
                kept = upsert(connection, message_authors).values(row).on_conflict_do_nothing()
                noted += (await connection.execute(kept)).rowcount
        return noted

    async def find(self, message_id: str) -> tuple[str, str] | None:
        """Extension and name of who wrote a message, if it is known."""
        query = select(message_authors.c.extension, message_authors.c.name)
        async with self._database.reading() as connection:
            row = (await connection.execute(query.where(message_authors.c.message_id == message_id))).first()
        return None if row is None else (row.extension, row.name)

    async def clean(self) -> int:
        """Forgets authors whose messages are gone, among the oldest; returns how many."""
        oldest = select(message_authors.c.message_id).order_by(message_authors.c.noted_at)
        oldest = oldest.limit(_CLEANED_AT_ONCE)
        async with self._database.transaction() as connection:
            gone = delete(message_authors).where(
                message_authors.c.message_id.in_(oldest.scalar_subquery()),
                ~exists().where(messages.c.id == message_authors.c.message_id),
            )
            return (await connection.execute(gone)).rowcount
