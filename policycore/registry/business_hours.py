"""Owns the business hours of integrations: keeping a calendar, and telling whether it is open."""

from dataclasses import dataclass
from datetime import datetime

from policycore.business_hours import closure_at, opens_or_closes_at, read_calendar
from policycore.registry.lookups import find_owned
from policycore.registry.ports import RegistryStore
from policycore.registry.rights import Identity
from policycore.registry.rows import CalendarRow


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """An integration's calendar as it was written (empty if it has none), and what it says now."""

    calendar_json: str
    is_open: bool
    changes_at: datetime | None


_NONE = BusinessHours("", True, None)


class BusinessHoursDesk:
    """Calendars of integrations."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    async def get(self, caller: Identity, integration_id: str) -> BusinessHours:
        """The calendar. Errors: `NotFound`."""
        async with self._store.reading() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            row = await rows.calendars.find(integration.id)
            return _NONE if row is None else _shown(row.calendar_json, rows.now)

    async def put(self, caller: Identity, integration_id: str, calendar_json: str) -> BusinessHours:
        """Replaces the calendar; an empty text removes it. What was written before is not answered any more.

        Errors: `Malformed`, `NotFound`.
        """
        text = calendar_json.strip()
        if text:
            read_calendar(text)
        async with self._store.changing() as rows:
            integration = await find_owned(rows.integrations, integration_id, caller, "integration")
            if text:
                seen = await rows.calendars.newest_event(integration.account_id)
                row = CalendarRow(integration.id, integration.account_id, text, seen, rows.now)
                await rows.calendars.put(row)
            else:
                await rows.calendars.remove(integration.id)
            await rows.write_audit(
                caller.name, "UpdateBusinessHours", integration.id, integration.account_id, {"calendar": text}
            )
            return _shown(text, rows.now) if text else _NONE


def _shown(text: str, now: datetime) -> BusinessHours:
    calendar = read_calendar(text)
    return BusinessHours(text, closure_at(calendar, now) is None, opens_or_closes_at(calendar, now))
