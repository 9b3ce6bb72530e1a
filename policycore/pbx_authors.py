"""Which agent wrote a reply: replies that went out, matched with what the phone system's chats have. Pure.

What a phone system posts for a reply names no agent. Its own chat history does, and has the text and the time; whom a
chat is with is told by the numbers that are named anywhere in it.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

NEAR = timedelta(seconds=120)
"""A reply is decided within seconds of its being written; the rest is for clocks that differ."""

LOOK_BACK = timedelta(minutes=15)
"""Replies older than this are looked for no more."""

_EXTENSION = re.compile(r"[0-9*]{1,6}", re.ASCII)
_DIGITS_THAT_TELL_APART = 9


@dataclass(frozen=True, slots=True)
class Reply:
    """A message to a person whose writer is not known."""

    message_id: str
    phone: str
    text: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class WrittenInChat:
    """Something that was written in a chat of the phone system."""

    chat_message_id: str
    conversation_id: str
    text: str = field(repr=False)
    sender_number: str
    sender_name: str
    phones: tuple[str, ...]
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Authorship:
    """Who wrote a reply."""

    message_id: str
    chat_message_id: str
    extension: str
    name: str


def authors(
    replies: Iterable[Reply], written: Sequence[WrittenInChat], already: Collection[str] = ()
) -> list[Authorship]:
    """Who wrote which reply: same person, same text, nearly the same time. One thing written is one reply, those in
    `already` are others'; of equal texts the earlier was the earlier reply. What two agents wrote alike to one person
    at the same time is nobody's.
    """
    persons = _persons(written)
    by_text: dict[tuple[str, str], list[WrittenInChat]] = {}
    for each in sorted(written, key=lambda one: (one.sent_at, one.chat_message_id)):
        if _EXTENSION.fullmatch(each.sender_number):
            for person in persons.get(each.conversation_id, set()) | _short(each.phones):
                by_text.setdefault((person, _folded(each.text)), []).append(each)
    found: list[Authorship] = []
    taken = set(already)
    for reply in sorted(replies, key=lambda one: (one.created_at, one.message_id)):
        alike = by_text.get((short_number(reply.phone), _folded(reply.text)), ())
        near = [
            each
            for each in alike
            if each.chat_message_id not in taken and abs(each.sent_at - reply.created_at) <= NEAR
        ]
        if near and len({each.sender_number for each in near}) == 1:
            taken.add(near[0].chat_message_id)
            found.append(
                Authorship(
                    reply.message_id, near[0].chat_message_id, near[0].sender_number, near[0].sender_name
                )
            )
    return found


def short_number(number: str) -> str:
    """A number without what is written in more than one way: country code, leading zeros, signs."""
    return "".join(each for each in number if each.isdecimal())[-_DIGITS_THAT_TELL_APART:]


def _persons(written: Iterable[WrittenInChat]) -> dict[str, set[str]]:
    """The numbers that are named in each chat."""
    found: dict[str, set[str]] = {}
    for each in written:
        if each.conversation_id:
            found.setdefault(each.conversation_id, set()).update(_short(each.phones))
    return found


def _short(phones: Iterable[str]) -> set[str]:
    return {short_number(phone) for phone in phones} - {""}


def _folded(text: str) -> str:
    """A text as it is compared: how blanks and lines are written differs from program to program."""
    return " ".join(text.split())
