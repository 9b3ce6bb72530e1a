"""Content of one message of WAHA: its own fields, and the engine's raw object where those are silent.

Pure. Engines as in https://waha.devlike.pro/docs/how-to/engines/: NOWEB and GOWS pass on WhatsApp's message
object, WEBJS and WPP a `type`. Media may be announced without being there, coordinates are strings.
"""

from collections.abc import Mapping
from dataclasses import replace

from edge.webhooks.whatsapp import renderings
from edge.webhooks.whatsapp.baileys import Change, Content
from edge.webhooks.whatsapp.baileys import read_content as read_message_object
from edge.webhooks.whatsapp.fields import Json, child, elements, identifier, name, text, url
from edge.webhooks.whatsapp.model import Media, MessageKind

# https://github.com/pedroslopez/whatsapp-web.js/blob/main/src/util/Constants.js, `MessageTypes`
_TYPES: Mapping[str, MessageKind] = {
    "chat": MessageKind.TEXT,
    "image": MessageKind.IMAGE,
    "video": MessageKind.VIDEO,
    "ptv": MessageKind.VIDEO,
    "audio": MessageKind.AUDIO,
    "ptt": MessageKind.AUDIO,
    "document": MessageKind.DOCUMENT,
    "sticker": MessageKind.STICKER,
    "location": MessageKind.LOCATION,
    "vcard": MessageKind.CONTACTS,
    "multi_vcard": MessageKind.CONTACTS,
    "order": MessageKind.ORDER,
    "poll_creation": MessageKind.POLL,
    "buttons_response": MessageKind.INTERACTIVE,
    "list_response": MessageKind.INTERACTIVE,
    "template_button_reply": MessageKind.INTERACTIVE,
    "interactive_response": MessageKind.INTERACTIVE,
}
# Notices of the app's own: nobody wrote them.
_NOTICES = frozenset(
    {"notification", "notification_template", "gp2", "e2e_notification", "protocol", "ciphertext"}
)
_TAPS = frozenset({"buttons_response", "list_response", "template_button_reply"})
_FILE_KINDS = frozenset(
    {MessageKind.IMAGE, MessageKind.VIDEO, MessageKind.AUDIO, MessageKind.DOCUMENT, MessageKind.STICKER}
)
_MIME_KINDS: Mapping[str, MessageKind] = {
    "image": MessageKind.IMAGE,
    "video": MessageKind.VIDEO,
    "audio": MessageKind.AUDIO,
}


def read_content(payload: Json) -> Content | None:
    """What a message says; None if nobody said it (a notice, or what the apps tell each other)."""
    raw = child(payload, "_data")
    engine_type = identifier(raw, "type")
    message_object = child(raw, "message", "Message")
    found = read_message_object(message_object) if message_object else _content_by_type(engine_type)
    if engine_type in _NOTICES or found is None or isinstance(found, Change):
        return None  # changes have events of their own
    body = text(payload, "body")
    if place := child(payload, "location"):
        return _place(place)
    if cards := elements(payload, "vCards"):
        read = [renderings.card_from_vcard(card) for card in cards[: renderings.MAX_LISTED]]
        return Content(MessageKind.CONTACTS, renderings.contacts(read))
    if payload.get("hasMedia") is True or child(payload, "media"):
        file = (_media(payload, found),)
        return replace(found, kind=_file_kind(payload, found), text=body or found.text, media=file)
    if found.kind is MessageKind.OTHER and body:
        return Content(MessageKind.TEXT, body)
    said = found.text if found.kind in {MessageKind.POLL, MessageKind.ORDER} else body or found.text
    return replace(found, text=said or body)


def contact_name(payload: Json) -> str:
    """The name the person goes by, wherever the engine keeps it."""
    raw = child(payload, "_data")
    return name(raw, "pushName", "notifyName") or name(child(raw, "Info"), "PushName")


def _content_by_type(engine_type: str) -> Content:
    kind = _TYPES.get(engine_type, MessageKind.OTHER)
    return Content(kind, is_button_reply=engine_type in _TAPS, voice=engine_type == "ptt")


def _place(place: Json) -> Content:
    where = name(place, "name", "description"), name(place, "address")
    return Content(
        MessageKind.LOCATION, renderings.location(*where, place.get("latitude"), place.get("longitude"))
    )


def _file_kind(payload: Json, found: Content) -> MessageKind:
    """The engine's word first: a sticker's MIME type is that of a picture."""
    if found.kind in _FILE_KINDS:
        return found.kind
    major = name(child(payload, "media"), "mimetype").partition("/")[0]
    return _MIME_KINDS.get(major, MessageKind.DOCUMENT)


def _media(payload: Json, found: Content) -> Media:
    media = child(payload, "media")
    raw = found.media[0] if found.media else Media()
    return Media(
        url=url(media, "url"),
        # WAHA serves a file by the whole id of its message.
        external_id=identifier(payload, "id"),
        mime_type=name(media, "mimetype") or raw.mime_type,
        file_name=name(media, "filename") or raw.file_name,
        sha256=raw.sha256,
    )
