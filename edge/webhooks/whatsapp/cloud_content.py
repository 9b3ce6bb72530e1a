"""Content of one message of the Cloud API: what it says, or what it does to an earlier one.

Pure. Types as in Meta's published schema, https://github.com/facebook/openapi (`business-messaging-api`), and
its webhook reference at
https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.webhooks.whatsapp import renderings
from edge.webhooks.whatsapp.fields import Json, as_object, child, elements, flag, identifier, name, text, url
from edge.webhooks.whatsapp.jids import phone_from_digits
from edge.webhooks.whatsapp.model import ChangeKind, Media, MessageKind


@dataclass(frozen=True, slots=True)
class Said:
    """What a message says."""

    kind: MessageKind
    text: str = ""
    media: tuple[Media, ...] = ()
    is_button_reply: bool = False
    voice: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What a message does to an earlier one.

    `target` is that one's id, or empty if the message does not say.
    """

    kind: ChangeKind
    target: str
    text: str = ""


NOT_WRITTEN = frozenset({"system", "request_welcome", "ephemeral"})
"""Types that WhatsApp makes by itself: nobody wrote, so no window may open."""


def read_content(message: Json) -> Said | Changed:
    """What a message says or does.

    A type that is not known here is `MessageKind.OTHER`: somebody did write.
    """
    kind = identifier(message, "type")
    part = child(message, kind) if kind else {}
    if kind in _CHANGES:
        return _CHANGES[kind](part)
    return _READERS.get(kind, _other)(part, message)


def _text(part: Json, _: Json) -> Said:
    return Said(MessageKind.TEXT, text(part, "body"))


def _file(kind: MessageKind) -> Callable[[Json, Json], Said]:
    def read(part: Json, _: Json) -> Said:
        media = Media(
            url=url(part, "url", "link"),
            external_id=identifier(part, "id"),
            mime_type=name(part, "mime_type"),
            file_name=name(part, "filename"),
            sha256=identifier(part, "sha256"),
        )
        return Said(kind, text(part, "caption"), (media,), voice=flag(part, "voice"))

    return read


def _location(part: Json, _: Json) -> Said:
    latitude, longitude = part.get("latitude"), part.get("longitude")
    place = renderings.location(name(part, "name"), name(part, "address"), latitude, longitude)
    return Said(MessageKind.LOCATION, place)


def _contacts(_: Json, message: Json) -> Said:
    cards = []
    for entry in map(as_object, elements(message, "contacts")[: renderings.MAX_LISTED]):
        named = child(entry, "name")
        phone = as_object(next(iter(elements(entry, "phones")), None))
        number = phone_from_digits(phone.get("wa_id")) or name(phone, "phone")
        cards.append((name(named, "formatted_name", "first_name"), number))
    return Said(MessageKind.CONTACTS, renderings.contacts(cards))


def _interactive(part: Json, _: Json) -> Said:
    chosen = child(part, "button_reply", "list_reply")
    if chosen:
        return Said(MessageKind.INTERACTIVE, text(chosen, "title", "id"), is_button_reply=True)
    filled = child(part, "nfm_reply")
    if filled:
        return Said(
            MessageKind.INTERACTIVE, renderings.form(name(filled, "name"), text(filled, "response_json"))
        )
    return Said(MessageKind.INTERACTIVE)


def _button(part: Json, _: Json) -> Said:
    return Said(MessageKind.INTERACTIVE, text(part, "text", "payload"), is_button_reply=True)


def _order(part: Json, _: Json) -> Said:
    items = elements(part, "product_items")
    return Said(MessageKind.ORDER, renderings.order(len(items), text(part, "text")))


def _unsupported(part: Json, _: Json) -> Said:
    kind = identifier(part, "type")
    # The type is a word of Meta's, such as `poll` or `edit`; anything longer is something else.
    return Said(MessageKind.OTHER, renderings.labelled("Unsupported message", [kind[:32]]))


def _other(_: Json, __: Json) -> Said:
    return Said(MessageKind.OTHER)


def _reaction(part: Json) -> Changed:
    emoji = text(part, "emoji", limit=64)
    kind = ChangeKind.REACTION if emoji else ChangeKind.REACTION_REMOVED
    return Changed(kind, identifier(part, "message_id"), emoji)


def _edit(part: Json) -> Changed:
    inner = child(part, "message")
    said = _READERS.get(identifier(inner, "type"), _other)(child(inner, identifier(inner, "type")), inner)
    return Changed(ChangeKind.EDIT, identifier(part, "original_message_id"), said.text)


def _revoke(part: Json) -> Changed:
    return Changed(ChangeKind.REVOKE, identifier(part, "original_message_id"))


_READERS: Mapping[str, Callable[[Json, Json], Said]] = {
    "text": _text,
    "image": _file(MessageKind.IMAGE),
    "video": _file(MessageKind.VIDEO),
    "audio": _file(MessageKind.AUDIO),
    "voice": _file(MessageKind.AUDIO),
    "document": _file(MessageKind.DOCUMENT),
    "sticker": _file(MessageKind.STICKER),
    "location": _location,
    "contacts": _contacts,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "unsupported": _unsupported,
}
_CHANGES: Mapping[str, Callable[[Json], Changed]] = {
    "reaction": _reaction,
    "edit": _edit,
    "revoke": _revoke,
}
