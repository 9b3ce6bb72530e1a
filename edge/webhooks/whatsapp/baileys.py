"""Content of WhatsApp's own message object, as Evolution API and two of WAHA's engines pass it on.

Pure. Field names as in https://github.com/WhiskeySockets/Baileys/blob/master/WAProto/WAProto.proto; WAHA's
engine GOWS spells a few in another case. Versions differ in how they write bytes (base64, or an object of
numbers), longs and enums, so nothing here relies on those.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge.webhooks.whatsapp import renderings
from edge.webhooks.whatsapp.fields import (
    Json,
    as_object,
    child,
    elements,
    flag,
    identifier,
    name,
    number,
    text,
    url,
)
from edge.webhooks.whatsapp.jids import lid_of, parse_jid, phone_of
from edge.webhooks.whatsapp.model import ChangeKind, Media, MessageKind, PersonRef

MAX_WRAPPERS = 8
MAX_SECONDS = 86_400
_MAX_HASH_BYTES = 64


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says."""

    kind: MessageKind
    text: str = ""
    media: tuple[Media, ...] = ()
    is_button_reply: bool = False
    quoted_id: str = ""
    voice: bool = False
    seconds: int = 0
    view_once: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What a message does to an earlier one. `target_key` is WhatsApp's key of that one."""

    kind: ChangeKind
    target_key: Json
    text: str = ""


_WRAPPERS = (
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "viewOnceMessageV2Extension",
    "documentWithCaptionMessage",
    "deviceSentMessage",
    "editedMessage",
    "groupMentionedMessage",
    "botInvokeMessage",
    "lottieStickerMessage",
    "associatedChildMessage",
)
_VIEW_ONCE = ("viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension")
# Beside the content, or instead of it: what the apps tell each other, and nobody said.
_METADATA = frozenset({"messageContextInfo", "contextInfo", "base64", "mediaUrl", "chatwootMessageId"})
_SILENT = frozenset(
    {
        "senderKeyDistributionMessage",
        "fastRatchetKeySenderKeyDistributionMessage",
        "keepInChatMessage",
        "pinInChatMessage",
        "encReactionMessage",
        "encCommentMessage",
        "encEventResponseMessage",
        "secretEncryptedMessage",
        "placeholderMessage",
        "albumMessage",
        "messageHistoryBundle",
        "messageHistoryNotice",
        "call",
        "bcallMessage",
        "callLogMesssage",
        "chat",
        "stickerSyncRmrMessage",
    }
)
_PROTOCOL_REVOKE = frozenset({"0", "REVOKE"})


def read_content(message: Json) -> Content | Change | None:
    """What a message object says or does; None if it only holds what the apps tell each other.

    A kind that is not known here is `MessageKind.OTHER`, since somebody did write.
    """
    message, once = _unwrapped(message)
    if protocol := child(message, "protocolMessage"):
        return change_from_protocol(protocol)
    if reaction := child(message, "reactionMessage"):
        return _reaction(reaction)
    for field_name, value in message.items():
        if (read := _READERS.get(field_name)) is not None and value:
            part = as_object(value)
            once = once or flag(part, "viewOnce")
            return _with_quote(replace(read(part, message), view_once=once), part)
    if isinstance(said := message.get("conversation"), str) and said:
        return Content(MessageKind.TEXT, text(message, "conversation"))
    said_nothing = {field_name for field_name, value in message.items() if value is not None} - _METADATA
    return None if said_nothing and said_nothing <= _SILENT else Content(MessageKind.OTHER)


def change_from_protocol(protocol: Json) -> Change | None:
    """An edit or a revocation; None for everything else that a protocol message can be, such as a new timer.

    Only `editedMessage` makes an edit: Evolution API announces all protocol messages as edits.
    """
    key = child(protocol, "key")
    if not identifier(key, "id", "ID"):
        return None
    edited = child(protocol, "editedMessage")
    if edited:
        content = read_content(edited)
        return Change(ChangeKind.EDIT, key, content.text) if content is not None else None
    # proto3 leaves out zero, so a revocation may come without its type.
    kind = identifier(protocol, "type") or "0"
    return Change(ChangeKind.REVOKE, key) if kind in _PROTOCOL_REVOKE else None


def quoted_id(context: Json) -> str:
    """Id of the message that this one answers, from its context."""
    return identifier(context, "stanzaId", "stanzaID")


def _unwrapped(message: Json) -> tuple[Json, bool]:
    """The message inside all wrappers, and whether one of them says that it may be seen once only."""
    once = False
    for _ in range(MAX_WRAPPERS):
        inner: Json = {}
        for wrapper in _WRAPPERS:
            if inner := child(child(message, wrapper), "message", "Message"):
                once = once or wrapper in _VIEW_ONCE
                break
        if not inner:
            break
        # Evolution API puts the file's address beside the wrapper, not inside it.
        outer = {key: message[key] for key in ("mediaUrl",) if key in message}
        message = {**outer, **inner}
    return message, once


def _with_quote(content: Content, part: Json) -> Content:
    quoted = quoted_id(child(part, "contextInfo"))
    return replace(content, quoted_id=quoted) if quoted else content


def _reaction(reaction: Json) -> Change:
    emoji = text(reaction, "text", limit=64)
    kind = ChangeKind.REACTION if emoji else ChangeKind.REACTION_REMOVED
    return Change(kind, child(reaction, "key"), emoji)


def _hash(value: object) -> str:
    """A hash as base64, from any of the forms bytes come in."""
    if isinstance(value, str):
        return value[:128] if value.isascii() and value.isprintable() else ""
    if isinstance(value, dict):
        numbers = value.get("data") if isinstance(value.get("data"), list) else list(value.values())
        if isinstance(numbers, list) and len(numbers) <= _MAX_HASH_BYTES:
            octets = [octet for octet in numbers if type(octet) is int and 0 <= octet < 256]
            return b64encode(bytes(octets)).decode("ascii") if len(octets) == len(numbers) else ""
    return ""


def _file(kind: MessageKind) -> Callable[[Json, Json], Content]:
    def read(part: Json, message: Json) -> Content:
        # The `url` inside is WhatsApp's encrypted store and serves nobody but the apps.
        media = Media(
            url=url(message, "mediaUrl") or url(part, "mediaUrl"),
            mime_type=name(part, "mimetype"),
            file_name=name(part, "fileName", "title"),
            sha256=_hash(part.get("fileSha256") or part.get("fileSHA256")),
        )
        length = seconds_of(part.get("seconds"))
        return Content(kind, text(part, "caption"), (media,), voice=flag(part, "ptt", "PTT"), seconds=length)

    return read


def seconds_of(value: object) -> int:
    """A length in whole seconds; 0 if it is none, or longer than a day."""
    seconds = number(value)
    return int(seconds) if seconds is not None and 0 <= seconds <= MAX_SECONDS else 0


def _extended_text(part: Json, _: Json) -> Content:
    return Content(MessageKind.TEXT, text(part, "text"))


def _location(part: Json, _: Json) -> Content:
    latitude, longitude = part.get("degreesLatitude"), part.get("degreesLongitude")
    place = renderings.location(name(part, "name"), name(part, "address"), latitude, longitude)
    return Content(MessageKind.LOCATION, place)


def _contact(part: Json, _: Json) -> Content:
    card = renderings.card_from_vcard(part.get("vcard"), name(part, "displayName"))
    return Content(MessageKind.CONTACTS, renderings.contacts([card]))


def _contacts(part: Json, _: Json) -> Content:
    entries = [as_object(entry) for entry in elements(part, "contacts")[: renderings.MAX_LISTED]]
    cards = [renderings.card_from_vcard(entry.get("vcard"), name(entry, "displayName")) for entry in entries]
    return Content(MessageKind.CONTACTS, renderings.contacts(cards))


def _tap(*names: str) -> Callable[[Json, Json], Content]:
    def read(part: Json, _: Json) -> Content:
        return Content(MessageKind.INTERACTIVE, text(part, *names), is_button_reply=True)

    return read


def _list_row(part: Json, _: Json) -> Content:
    chosen = text(part, "title") or text(child(part, "singleSelectReply"), "selectedRowId")
    return Content(MessageKind.INTERACTIVE, chosen, is_button_reply=True)


def _interactive(part: Json, _: Json) -> Content:
    said = text(child(part, "body"), "text")
    flow = child(part, "nativeFlowResponseMessage")
    if not flow or name(flow, "name") in {"quick_reply", "menu_options", "cta_reply"}:
        return Content(MessageKind.INTERACTIVE, said, is_button_reply=True)
    return Content(MessageKind.INTERACTIVE, said or renderings.form("", text(flow, "paramsJson")))


def _poll(part: Json, _: Json) -> Content:
    options = [name(as_object(option), "optionName") for option in elements(part, "options")[:20]]
    return Content(MessageKind.POLL, renderings.labelled("Poll", [name(part, "name"), *options]))


def _poll_answer(part: Json, _: Json) -> Content:
    chosen = elements(child(part, "vote"), "selectedOptions")[: renderings.MAX_LISTED]
    options = [option for option in chosen if isinstance(option, str)]
    return Content(MessageKind.POLL, renderings.labelled("Poll answer", options))


def poll_answer(element: Json, person: PersonRef | None) -> str:
    """What this person voted, from the tally that 2.3.7 puts beside the (encrypted) vote."""
    if person is None:
        return ""
    chosen = []
    for entry in map(as_object, elements(element, "pollUpdates")[: renderings.MAX_LISTED]):
        voters = [parse_jid(voter) for voter in elements(entry, "voters")]
        ours = {phone_of(voter) or lid_of(voter) for voter in voters} - {""}
        if ours & {person.phone, person.lid}:
            chosen.append(name(entry, "name"))
    return renderings.labelled("Poll answer", chosen) if chosen else ""


def _order(part: Json, _: Json) -> Content:
    count = number(part.get("itemCount"))
    return Content(
        MessageKind.ORDER, renderings.order(count, text(part, "message") or name(part, "orderTitle"))
    )


def _titled(label: str, kind: MessageKind, *names: str) -> Callable[[Json, Json], Content]:
    def read(part: Json, _: Json) -> Content:
        return Content(kind, renderings.labelled(label, [name(part, *names)]))

    return read


def _product(part: Json, _: Json) -> Content:
    title = name(child(part, "product"), "title", "productId")
    return Content(MessageKind.OTHER, renderings.labelled("Product", [title]))


_READERS: Mapping[str, Callable[[Json, Json], Content]] = {
    "extendedTextMessage": _extended_text,
    "imageMessage": _file(MessageKind.IMAGE),
    "videoMessage": _file(MessageKind.VIDEO),
    "ptvMessage": _file(MessageKind.VIDEO),
    "audioMessage": _file(MessageKind.AUDIO),
    "documentMessage": _file(MessageKind.DOCUMENT),
    "stickerMessage": _file(MessageKind.STICKER),
    "locationMessage": _location,
    "liveLocationMessage": _location,
    "contactMessage": _contact,
    "contactsArrayMessage": _contacts,
    "buttonsResponseMessage": _tap("selectedDisplayText", "selectedButtonId", "selectedButtonID"),
    "templateButtonReplyMessage": _tap("selectedDisplayText", "selectedId", "selectedID"),
    "listResponseMessage": _list_row,
    "interactiveResponseMessage": _interactive,
    "pollUpdateMessage": _poll_answer,
    "pollCreationMessage": _poll,
    "pollCreationMessageV2": _poll,
    "pollCreationMessageV3": _poll,
    "pollCreationMessageV5": _poll,
    "orderMessage": _order,
    "productMessage": _product,
    "eventMessage": _titled("Event", MessageKind.OTHER, "name"),
    "groupInviteMessage": _titled("Group invitation", MessageKind.OTHER, "groupName"),
}
