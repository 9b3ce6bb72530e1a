"""Evolution API v2: builds `findMessages` for one chat, reads what it shows. Pure.

Facts from https://github.com/EvolutionAPI/evolution-api/blob/2.3.6/src/api/services/channel.service.ts
(`fetchMessages`: exact match of `key.remoteJid`, both ends of the time or none, newest first) and
https://github.com/EvolutionAPI/evolution-api/blob/2.3.6/src/utils/createJid.ts (numbers that it rewrites).
A message is recorded only after it has left, and not at all if that fails: one that is missing may have been sent.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sender.backends.chats import AT_ONCE, failed, furthest, looked, moment, unanswered
from sender.backends.wire import (
    ChatView,
    endpoint,
    json_body,
    json_value,
    lid_digits,
    member,
    phone_digits,
    text_of,
)
from sender.model import (
    Exchange,
    FoundMessage,
    HttpAnswer,
    HttpRequest,
    LookUp,
    LookUpResult,
    Recipient,
    UnaddressableError,
)

_AHEAD = timedelta(days=8)
"""The end of the time that is asked for, which must be named: later than any look."""

_KINDS: Mapping[str, str] = {
    "PENDING": "accepted",
    "SERVER_ACK": "sent",
    "DELIVERY_ACK": "delivered",
    "READ": "read",
    "PLAYED": "read",
    "ERROR": "failed",
}
_TYPED = frozenset({"ios", "android"})
"""What Evolution calls the source of a message that was typed on a phone; its own are `web` or `unknown`."""

_TWO_SPELLINGS = (
    (re.compile(r"55(\d\d)9(\d{8})"), r"55\1\2"),
    (re.compile(r"55(\d\d)(\d{8})"), r"55\g<1>9\2"),
    (re.compile(r"52(?:1)(\d{10})"), r"52\1"),
    (re.compile(r"52(\d{10})"), r"521\1"),
    (re.compile(r"54(?:9)(\d{10})"), r"54\1"),
    (re.compile(r"54(\d{10})"), r"549\1"),
)
"""Numbers of Brazil, Mexico and Argentina, which may be kept with or without one more digit."""


def chats_of(recipient: Recipient) -> list[str]:
    """Every name under which the chat with this person may be kept. Raises `UnaddressableError`."""
    names = []
    if recipient.phone:
        digits = phone_digits(recipient.phone)
        spellings = [digits]
        for pattern, other in _TWO_SPELLINGS:
            if pattern.fullmatch(digits):
                spellings.append(pattern.sub(other, digits))
        names += [f"{each}@s.whatsapp.net" for each in spellings]
    if recipient.lid:
        names.append(f"{lid_digits(recipient.lid)}@lid")
    if not names:
        raise UnaddressableError("Evolution API knows people by phone number or linked id only.")
    return names


def build(wanted: LookUp) -> list[HttpRequest]:
    """`POST {base}/chat/findMessages/{instance}`, once for each name of the chat."""
    link = wanted.connection
    times = {
        "gte": wanted.since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lte": (wanted.since + _AHEAD).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return [
        HttpRequest(
            method="POST",
            url=endpoint(link.base_url, "chat", "findMessages", link.external_name),
            headers={"apikey": link.api_token, "Content-Type": "application/json"},
            body=json_body(
                {
                    "where": {"key": {"remoteJid": name, "fromMe": True}, "messageTimestamp": times},
                    "page": 1,
                    "offset": AT_ONCE,
                }
            ),
        )
        for name in chats_of(wanted.recipient)
    ]


def parse(exchange: Exchange, wanted: LookUp) -> LookUpResult:
    """The messages with this very text."""
    nothing = unanswered(exchange)
    if nothing is not None or not isinstance(exchange, HttpAnswer):
        return nothing or failed("unreadable")
    value = json_value(exchange.body)
    records = member(value, "messages", "records") if isinstance(value, dict) else value
    if not isinstance(records, list):
        return failed("unreadable")
    if len(records) >= AT_ONCE:
        return failed("too_many")
    return looked(
        (found for record in records if (found := _found(record, wanted)) is not None),
        wanted,
    )


def _found(record: Any, wanted: LookUp) -> FoundMessage | None:
    message_id = text_of(member(record, "key", "id"))
    sent_at = moment(member(record, "messageTimestamp"))
    if not message_id or sent_at is None or member(record, "key", "fromMe") is not True:
        return None
    content = member(record, "message")
    text = text_of(member(content, "conversation")) or text_of(member(content, "extendedTextMessage", "text"))
    if text != wanted.text or member(record, "source") in _TYPED:
        return None
    updates = member(record, "MessageUpdate")
    words = [text_of(member(each, "status")) for each in updates] if isinstance(updates, list) else []
    words.append(text_of(member(record, "status")))
    return FoundMessage(message_id, sent_at, furthest(_KINDS.get(word, "") for word in words))


CHATS = ChatView(build, parse)
