"""WAHA: names of chats and messages; builds the list of a chat's messages, reads what it shows. Pure.

Facts from https://waha.devlike.pro/docs/how-to/chats/ and https://waha.devlike.pro/docs/how-to/events/. Some engines
keep messages only where their store is switched on: one that is missing may have been sent.
"""

from typing import Any

from sender.backends.chats import AT_ONCE, failed, looked, moment, unanswered, whole_seconds
from sender.backends.wire import (
    ChatView,
    endpoint,
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

_KINDS = {-1: "failed", 0: "accepted", 1: "sent", 2: "delivered", 3: "read", 4: "read"}
_TYPED = "app"
"""What WAHA calls the source of a message that it did not send itself."""


def chat_id(recipient: Recipient) -> str:
    """The chat with a person. Raises `UnaddressableError`."""
    if recipient.phone:
        return f"{phone_digits(recipient.phone)}@c.us"
    if recipient.lid:
        return f"{lid_digits(recipient.lid)}@lid"
    raise UnaddressableError("WAHA reaches people by phone number or linked id only.")


def message_id(body: object) -> str:
    """The WhatsApp id: text, an object, or the engine's own `key.id`, depending on the engine.

    Receipts name a message as `{fromMe}_{chat}_{id}`, and the spelling of the chat may change from one event
    to the next, so only the id is kept. Source: https://waha.devlike.pro/docs/how-to/events/.
    """
    whole = (
        text_of(member(body, "id"))
        or text_of(member(body, "id", "_serialized"))
        or text_of(member(body, "key", "id"))
    )
    parts = whole.split("_")
    is_composed = len(parts) >= 3 and parts[0] in {"true", "false"} and "@" in parts[1]
    return parts[2] if is_composed else whole


def build(wanted: LookUp) -> list[HttpRequest]:
    """`GET {base}/api/{session}/chats/{chat}/messages`, for each name of the chat."""
    link = wanted.connection
    if not link.external_name:
        raise UnaddressableError("The connection lacks the session's name.")
    names = [chat_id(wanted.recipient)]
    if wanted.recipient.phone and wanted.recipient.lid:
        names.append(f"{lid_digits(wanted.recipient.lid)}@lid")
    query = (
        f"limit={AT_ONCE}&downloadMedia=false&filter.fromMe=true"
        f"&filter.timestamp.gte={whole_seconds(wanted.since)}"
    )
    return [
        HttpRequest(
            method="GET",
            url=endpoint(link.base_url, "api", link.external_name, "chats", name, "messages") + f"?{query}",
            headers={"X-Api-Key": link.api_token},
        )
        for name in names
    ]


def parse(exchange: Exchange, wanted: LookUp) -> LookUpResult:
    """The messages with this very text."""
    nothing = unanswered(exchange)
    if nothing is not None or not isinstance(exchange, HttpAnswer):
        return nothing or failed("unreadable")
    records = json_value(exchange.body)
    if not isinstance(records, list):
        return failed("unreadable")
    if len(records) >= AT_ONCE:
        return failed("too_many")
    return looked(
        (found for record in records if (found := _found(record, wanted)) is not None),
        wanted,
    )


def _found(record: Any, wanted: LookUp) -> FoundMessage | None:
    name, sent_at = message_id(record), moment(member(record, "timestamp"))
    if not name or sent_at is None or member(record, "fromMe") is not True:
        return None
    if text_of(member(record, "body")) != wanted.text or member(record, "source") == _TYPED:
        return None
    ack = member(record, "ack")
    kind = _KINDS.get(ack, "accepted") if isinstance(ack, int) and not isinstance(ack, bool) else "accepted"
    return FoundMessage(name, sent_at, kind)


CHATS = ChatView(build, parse)
