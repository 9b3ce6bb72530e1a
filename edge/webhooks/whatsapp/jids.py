"""WhatsApp addresses (`user@server`) -> persons and kinds of chat.

Pure. A linked id (`@lid`) looks like a phone number and is none: it is only ever kept as an opaque id.
Servers as in https://github.com/WhiskeySockets/Baileys/blob/master/src/WABinary/jid-utils.ts, plus WAHA's
`c.us`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from edge.webhooks.whatsapp.model import ChatKind, PersonRef


class Server(Enum):
    """What stands behind the @."""

    PHONE = "phone"
    LID = "lid"
    GROUP = "group"
    BROADCAST = "broadcast"
    OTHER = "other"


_SERVERS = {
    "s.whatsapp.net": Server.PHONE,
    "c.us": Server.PHONE,
    "hosted": Server.PHONE,
    "lid": Server.LID,
    "hosted.lid": Server.LID,
    "g.us": Server.GROUP,
    "broadcast": Server.BROADCAST,
    "newsletter": Server.BROADCAST,
}
_CHATS = {
    Server.PHONE: ChatKind.DIRECT,
    Server.LID: ChatKind.DIRECT,
    Server.GROUP: ChatKind.GROUP,
    Server.BROADCAST: ChatKind.BROADCAST,
}
# A user may carry the number of an agent (`_1`) and of a device (`:12`); neither is part of who it is.
_JID = re.compile(r"([^@:_\s]{1,64})(?:_[0-9]{1,4})?(?::[0-9]{1,4})?@([a-z.]{1,32})")
_PHONE = re.compile(r"[1-9][0-9]{6,14}")
_LID = re.compile(r"[0-9]{1,32}")


@dataclass(frozen=True, slots=True)
class Jid:
    """An address without its device."""

    user: str
    server: Server


def parse_jid(value: object) -> Jid | None:
    """Read an address; None if it is not one.

    Bare digits are not one: nobody can tell whether they are a phone.
    """
    if not isinstance(value, str):
        return None
    found = _JID.fullmatch(value.strip())
    return Jid(found[1], _SERVERS.get(found[2], Server.OTHER)) if found else None


def phone_from_digits(value: object) -> str:
    """E.164 from international digits, with or without `+`; empty if they cannot be a phone number."""
    if not isinstance(value, str):
        return ""
    digits = value.strip().removeprefix("+")
    return f"+{digits}" if _PHONE.fullmatch(digits) else ""


def phone_of(jid: Jid | None) -> str:
    """The phone number an address stands for, as E.164, or empty."""
    return phone_from_digits(jid.user) if jid is not None and jid.server is Server.PHONE else ""


def lid_of(jid: Jid | None) -> str:
    """The linked id an address stands for, or empty."""
    return jid.user if jid is not None and jid.server is Server.LID and _LID.fullmatch(jid.user) else ""


def chat_of(jid: Jid | None) -> ChatKind | None:
    """The kind of chat; None for addresses that are no chat between people (bots, calls)."""
    return _CHATS.get(jid.server) if jid is not None else None


def person_from(candidates: Iterable[object], own_phone: str = "") -> PersonRef | None:
    """One person out of several addresses, best first: the first phone number and the first linked id.

    `own_phone` is the business's number. It never counts as an alternative for somebody else, because fields
    that name "the sender" name the business in what the business sent.
    """
    phone = lid = ""
    for position, candidate in enumerate(candidates):
        jid = parse_jid(candidate)
        lid = lid or lid_of(jid)
        found = phone_of(jid)
        if found and (position == 0 or found != own_phone):
            phone = phone or found
    return PersonRef(phone=phone, lid=lid) if phone or lid else None
