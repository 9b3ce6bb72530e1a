"""Readable text for messages that are not text: places, contact cards, orders, forms, polls.

Pure. English, neutral, one line; empty where there is nothing to say.
"""

import re
from collections.abc import Iterable

from edge.webhooks.whatsapp.fields import Json, as_object, clean, decode, number
from edge.webhooks.whatsapp.jids import phone_from_digits
from edge.webhooks.whatsapp.model import NotJson

MAX_RENDERED_CHARACTERS = 2_000
MAX_LISTED = 20
_MAX_CARD_CHARACTERS = 20_000
_PHONE_LINE = re.compile(r"^(?:[\w-]{1,32}\.)?TEL([^:\r\n]*):([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_NAME_LINE = re.compile(r"^(?:[\w-]{1,32}\.)?FN[^:\r\n]*:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_WHATSAPP_ID = re.compile(r"waid=([0-9]{5,20})", re.IGNORECASE)


def one_line(value: str) -> str:
    """The text on one line, cut to a readable length."""
    return " ".join(clean(value, MAX_RENDERED_CHARACTERS).split())


def labelled(label: str, parts: Iterable[str]) -> str:
    """`Label: part, part`, without the parts that are empty; the bare label if all are."""
    said = ", ".join(part for part in map(one_line, parts) if part)
    return one_line(f"{label}: {said}") if said else label


def location(name: str, address: str, latitude: object, longitude: object) -> str:
    """`Location: name, address, lat,lon`. Coordinates may be numbers or decimal strings."""
    north, east = number(latitude), number(longitude)
    point = f"{north},{east}" if north is not None and east is not None else ""
    return labelled("Location", (name, address if address != name else "", point))


def contacts(cards: Iterable[tuple[str, str]]) -> str:
    """`Contact: name, phone`; several are separated by semicolons."""
    said = [", ".join(part for part in map(one_line, card) if part) for card in cards]
    listed = [card for card in said if card][:MAX_LISTED]
    return labelled("Contacts" if len(listed) > 1 else "Contact", ["; ".join(listed)])


def card_from_vcard(vcard: object, display_name: str = "") -> tuple[str, str]:
    """Name and phone of a vCard. `waid=`, WhatsApp's own parameter, is preferred to the number as typed."""
    if not isinstance(vcard, str):
        return display_name, ""
    content = clean(vcard, _MAX_CARD_CHARACTERS)
    named = _NAME_LINE.search(content)
    name = display_name or (named[1] if named else "")
    phone = ""
    for parameters, value in _PHONE_LINE.findall(content):
        whatsapp_id = _WHATSAPP_ID.search(parameters)
        if whatsapp_id and (found := phone_from_digits(whatsapp_id[1])):
            return name, found
        phone = phone or value
    return name, phone


def order(count: object, note: str) -> str:
    """`Order: 2 items, note`."""
    items = number(count)
    return labelled("Order", (f"{items} item{'' if items == 1 else 's'}" if items is not None else "", note))


def form(title: str, answers_json: str) -> str:
    """`Form: title, field: answer, …` from a form's answers, which come as JSON inside a string."""
    answers = [
        f"{field}: {value}"
        for field, value in _answers(answers_json).items()
        if field != "flow_token" and isinstance(value, str | int | float) and str(value)
    ]
    return labelled("Form", [title, *answers[:MAX_LISTED]])


def _answers(answers_json: str) -> Json:
    try:
        return as_object(decode(answers_json.encode("utf-8", "replace")))
    except NotJson:
        return {}
