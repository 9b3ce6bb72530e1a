"""Where a message of WAHA's stands: its id taken apart, its chat, and the person at the far end.

Pure. Ids come as `{fromMe}_{chat}_{id}[_{participant}]`, https://waha.devlike.pro/docs/how-to/events/. The
engines disagree on what `from` and `to` are, and on how to spell a person's other address; the chat in the id
is reliable.
"""

from dataclasses import dataclass

from edge.webhooks.whatsapp.fields import Json, child, flag, identifier
from edge.webhooks.whatsapp.intake import UnusableError
from edge.webhooks.whatsapp.jids import chat_of, lid_of, parse_jid, person_from, phone_of
from edge.webhooks.whatsapp.model import ChatKind, PersonRef


@dataclass(frozen=True, slots=True)
class MessageId:
    """A message's id taken apart; parts that it does not have are empty.

    `from_business` is None if it does not say.
    """

    bare: str
    chat: str = ""
    participant: str = ""
    from_business: bool | None = None


def split_id(value: object) -> MessageId:
    """Take an id apart.

    `true_123@c.us_3EB0…`, the same inside an object (`_serialized`), or the bare id alone.
    """
    whole = identifier(value if isinstance(value, dict) else {"id": value}, "_serialized", "id")
    parts = whole.split("_")
    if len(parts) >= 3 and parts[0] in {"true", "false"} and "@" in parts[1]:
        return MessageId(parts[2], parts[1], "_".join(parts[3:]), parts[0] == "true")
    return MessageId(whole)


@dataclass(frozen=True, slots=True)
class Where:
    """Where a message stands, whose it is, and its id."""

    message_id: str
    from_business: bool
    chat: ChatKind
    person: PersonRef | None
    participant: str


def locate(payload: Json, own_phone: str, *, anywhere: bool = False) -> Where:
    """Where the message in this payload stands; `own_phone` is the business's number.

    Receipts are told apart by id alone, so for them any chat, or none, will do (`anywhere`). Raises
    UnusableError for a payload without an id or, otherwise, without a chat.
    """
    message_id = split_id(payload.get("id"))
    if not message_id.bare:
        raise UnusableError("has no message id.")
    from_business = message_id.from_business
    if from_business is None:
        from_business = flag(payload, "fromMe")
    other_side = payload.get("to") if from_business else payload.get("from")
    address = parse_jid(message_id.chat) or parse_jid(other_side)
    chat = chat_of(address)
    if chat is None and anywhere:
        chat = ChatKind.DIRECT
    if chat is None:
        raise UnusableError("names no chat.")
    participant = ""
    if chat is ChatKind.DIRECT:
        candidates = [message_id.chat or other_side, other_side, *_alternates(payload, from_business)]
    else:
        author = payload.get("participant") or message_id.participant
        participant = phone_of(parse_jid(author)) or lid_of(parse_jid(author))
        candidates = [author, *_group_alternates(payload)]
    return Where(message_id.bare, from_business, chat, person_from(candidates, own_phone), participant)


def _alternates(payload: Json, from_business: bool) -> list[object]:
    """Other addresses of the person at the far end of a direct chat; the engines spell them differently."""
    baileys, whatsmeow = child(child(payload, "_data"), "key"), child(child(payload, "_data"), "Info")
    found = [baileys.get("remoteJid"), baileys.get("remoteJidAlt")]
    if from_business:
        return [*found, whatsmeow.get("RecipientAlt")]  # the sender is the business
    return [*found, baileys.get("senderPn"), whatsmeow.get("Sender"), whatsmeow.get("SenderAlt")]


def _group_alternates(payload: Json) -> list[object]:
    baileys, whatsmeow = child(child(payload, "_data"), "key"), child(child(payload, "_data"), "Info")
    fields = ("participant", "participantAlt", "participantPn")
    return [*(baileys.get(field) for field in fields), whatsmeow.get("Sender"), whatsmeow.get("SenderAlt")]
