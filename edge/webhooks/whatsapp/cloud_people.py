"""Who is meant in a Cloud API webhook: phone numbers and business-scoped ids, each of which may be missing.

Pure. Rules as in
https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids.
"""

import re
from collections.abc import Mapping

from edge.webhooks.whatsapp.fields import Json, as_object, child, elements, identifier, name, text
from edge.webhooks.whatsapp.jids import phone_from_digits
from edge.webhooks.whatsapp.model import PersonRef

_SCOPED_ID = r"[A-Z]{2}\.(?:ENT\.)?[A-Za-z0-9]{1,128}"
_IS_SCOPED_ID = re.compile(_SCOPED_ID)
# Anchored at the end, since the name before it is whatever the person chose, perhaps somebody else's id.
_CHANGED_ID = re.compile(rf" from ({_SCOPED_ID}) to ({_SCOPED_ID})\.?\s*\Z")


def person(phone_digits: str, scoped_id: str) -> PersonRef | None:
    """A person from the two ids Meta gives.

    A business-scoped id in the place of a phone is taken for what it is.
    """
    phone = phone_from_digits(phone_digits)
    if not scoped_id and _IS_SCOPED_ID.fullmatch(phone_digits):
        scoped_id = phone_digits
    return PersonRef(phone=phone, business_scoped_id=scoped_id) if phone or scoped_id else None


class Directory:
    """The `contacts` of one change: names, and the other id of a person of whom an element gives only one."""

    def __init__(self, value: Json) -> None:
        """Read `value.contacts`; entries without any id are of no use."""
        self._entries: list[Json] = [as_object(entry) for entry in elements(value, "contacts")]
        self._by_id: dict[str, Json] = {}
        for entry in self._entries:
            for known in (identifier(entry, "wa_id"), identifier(entry, "user_id")):
                if known:
                    self._by_id.setdefault(known, entry)

    def complete(self, phone_digits: str, scoped_id: str) -> PersonRef | None:
        """The person with these ids, and with the one that is missing if the contacts know it."""
        entry = self._by_id.get(scoped_id) or self._by_id.get(phone_digits) or {}
        return person(phone_digits or identifier(entry, "wa_id"), scoped_id or identifier(entry, "user_id"))

    def name_of(self, phone_digits: str, scoped_id: str) -> str:
        """The name this person goes by, or empty."""
        entry = self._by_id.get(scoped_id) or self._by_id.get(phone_digits) or {}
        return name(child(entry, "profile"), "name", "username")

    def only(self) -> tuple[str, str]:
        """Both ids of the single contact; empty ones if there are none or several."""
        entry = self._entries[0] if len(self._entries) == 1 else {}
        return identifier(entry, "wa_id"), identifier(entry, "user_id")


def previous_id(system: Json, current: str) -> str:
    """The id a person had before, from the sentence of a system message, which alone holds it; or empty."""
    found = _CHANGED_ID.search(text(system, "body", limit=2_000))
    return found[1] if found and found[2] == current else ""


def ids(element: Mapping[str, object], phone_field: str, scoped_field: str) -> tuple[str, str]:
    """Phone digits and business-scoped id of an element, each empty if the element does not give it."""
    return identifier(element, phone_field), identifier(element, scoped_field)
