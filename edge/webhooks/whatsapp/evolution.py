"""Evolution API v2 webhooks -> events.

Pure. Shapes as in Evolution's own source, https://github.com/EvolutionAPI/evolution-api
(`whatsapp.baileys.service.ts`, `webhook.controller.ts`), versions 2.2 to 2.3.7. Two things there are not what
they seem: `date_time` is local time that ends in a `Z`, and `sender` is the instance's own address, not the
customer's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge.webhooks.whatsapp import evolution_state
from edge.webhooks.whatsapp.baileys import (
    Change,
    Content,
    change_from_protocol,
    poll_answer,
    quoted_id,
    read_content,
)
from edge.webhooks.whatsapp.fields import (
    Json,
    child,
    decode,
    digest,
    elements,
    event_key,
    flag,
    identifier,
    moment,
    name,
    receipt_key,
)
from edge.webhooks.whatsapp.intake import Intake, UnusableError, same_name
from edge.webhooks.whatsapp.jids import chat_of, lid_of, parse_jid, person_from, phone_of
from edge.webhooks.whatsapp.model import (
    ChangeKind,
    ChatKind,
    Delivery,
    InboundEvent,
    InboundMessage,
    MessageChange,
    MessageKind,
    PersonRef,
    Receipt,
    ReceiptKind,
)

# Numbers as in WAProto's WebMessageInfo.Status. DELETED is left out on purpose: Evolution 2.3.6 says so for
# every status it does not know.
_RECEIPTS: Mapping[str, ReceiptKind] = {
    "PENDING": ReceiptKind.ACCEPTED,
    "SERVER_ACK": ReceiptKind.SENT,
    "DELIVERY_ACK": ReceiptKind.DELIVERED,
    "READ": ReceiptKind.READ,
    "PLAYED": ReceiptKind.PLAYED,
    "ERROR": ReceiptKind.FAILED,
    "0": ReceiptKind.FAILED,
    "1": ReceiptKind.ACCEPTED,
    "2": ReceiptKind.SENT,
    "3": ReceiptKind.DELIVERED,
    "4": ReceiptKind.READ,
    "5": ReceiptKind.PLAYED,
}
_FAILED_CODE = "ERROR"


@dataclass(frozen=True, slots=True)
class _Key:
    """WhatsApp's key of a message: where it is, whose it is, and its id."""

    message_id: str
    from_business: bool
    chat: ChatKind
    person: PersonRef | None
    participant: str


def parse(raw: bytes, external_name: str) -> Delivery:
    """Parse one webhook body; `external_name` is the instance's name in Evolution API.

    Raises NotJson if the body as a whole cannot be read.
    """
    body = decode(raw)
    intake = Intake()
    if not isinstance(body, dict):
        intake.reject("The body is not an object.")
        return intake.delivery()
    event_name = identifier(body, "event").lower().replace("_", ".")
    if not same_name(name(body, "instance"), external_name):
        intake.reject("The body names another instance.")
    elif event_name in evolution_state.EVENTS:
        date_time = identifier(body, "date_time")
        read_state = evolution_state.EVENTS[event_name]
        intake.take("The state", child(body, "data"), lambda part: read_state(part, date_time))
    elif event_name in _READERS:
        read, own_phone = _READERS[event_name], phone_of(parse_jid(body.get("sender")))
        intake.take_each("Element", elements(body, "data"), lambda part: read(part, own_phone))
    else:
        intake.ignore()
    return intake.delivery()


def _read_key(key: Json, own_phone: str, *, anywhere: bool = False) -> _Key:
    """Read a key.

    Receipts are told apart by id alone, so for them any chat, or none, will do (`anywhere`).
    """
    message_id = identifier(key, "id")
    if not message_id:
        raise UnusableError("has no message id.")
    address = parse_jid(key.get("remoteJid"))
    chat = chat_of(address)
    if chat is None and anywhere:
        chat = ChatKind.DIRECT
    if chat is None:
        raise UnusableError("names no chat.")
    from_business = flag(key, "fromMe")
    # The order is that of the versions: 2.3.7 swaps the phone into `remoteJid`, 2.3.5 has `remoteJidAlt`,
    # 2.3.0 `senderPn`, and before that there was only the linked id.
    direct = ["remoteJid", "remoteJidAlt", "previousRemoteJid"]
    if not from_business:
        direct += ["senderPn", "senderLid"]  # in what the business sent, the sender is the business
    group = ["participant", "participantAlt", "participantPn", "senderPn", "participantLid"]
    fields = direct if chat is ChatKind.DIRECT else group
    person = person_from([key.get(field) for field in fields], own_phone)
    participant = parse_jid(key.get("participant")) if chat is not ChatKind.DIRECT else None
    return _Key(message_id, from_business, chat, person, phone_of(participant) or lid_of(participant))


def _read_upsert(element: Json, own_phone: str) -> InboundEvent | None:
    """`messages.upsert`: somebody wrote, or the business did on its own phone."""
    key = _read_key(child(element, "key"), own_phone)
    message = child(element, "message")
    if not message:
        if "messageStubType" in element:
            return None  # a notice of the app's own, for example that somebody joined a group
        raise UnusableError("has no content.")
    said = read_content(message)
    if said is None:
        return None
    if key.from_business and key.chat is not ChatKind.DIRECT:
        key = replace(key, person=None)  # the participant is the business itself
    elif key.person is None and key.chat is ChatKind.BROADCAST:
        return None  # a newsletter has no author
    elif key.person is None and not key.from_business:
        raise UnusableError("has no usable sender.")
    if isinstance(said, Change):
        return _change(said, key, element)
    return InboundEvent(
        event_key=event_key("message", key.message_id),
        event=_message(said, key, element),
        provider_time=moment(element.get("messageTimestamp")),
        person=key.person,
        chat=key.chat,
    )


def _message(said: Content, key: _Key, element: Json) -> InboundMessage:
    return InboundMessage(
        external_message_id=key.message_id,
        kind=said.kind,
        text=poll_answer(element, key.person) or said.text if said.kind is MessageKind.POLL else said.text,
        # Evolution hands out a file by the id of its message.
        media=tuple(replace(media, external_id=key.message_id) for media in said.media),
        contact_name="" if key.from_business else _contact_name(element),
        from_business=key.from_business,
        quoted_external_message_id=said.quoted_id or quoted_id(child(element, "contextInfo")),
        is_button_reply=said.is_button_reply,
        voice=said.voice,
        seconds=said.seconds,
        view_once=said.view_once,
    )


def _contact_name(element: Json) -> str:
    """The name the person goes by.

    In groups Evolution may put the person's digits there; those are no name.
    """
    push_name = name(element, "pushName")
    return "" if push_name.strip("+@ ").isdigit() else push_name


def _change(said: Change, key: _Key, element: Json) -> InboundEvent:
    target = identifier(said.target_key, "id")
    if not target:
        raise UnusableError("names no message that it changes.")
    revoked = said.kind is ChangeKind.REVOKE
    return InboundEvent(
        event_key=_revoke_key(target) if revoked else event_key("change", key.message_id),
        event=MessageChange(said.kind, target, said.text, key.from_business),
        provider_time=moment(element.get("messageTimestamp")),
        person=key.person,
        chat=key.chat,
    )


def _revoke_key(target: str) -> str:
    # One deletion arrives as `messages.edited`, as `messages.delete`, or as both.
    return event_key("revoke", target)


def _read_sent(element: Json, own_phone: str) -> InboundEvent | None:
    """`send.message`: the instance took a message over its API.

    The text settles sends whose answer was lost.
    """
    key = _read_key(child(element, "key"), own_phone)
    said = read_content(child(element, "message"))
    failed = identifier(element, "status").upper() == _FAILED_CODE
    return InboundEvent(
        event_key=event_key("sent", key.message_id),
        event=Receipt(
            external_message_id=key.message_id,
            kind=ReceiptKind.FAILED if failed else ReceiptKind.ACCEPTED,
            error_code=_FAILED_CODE if failed else "",
            text=said.text if said is not None else "",
        ),
        provider_time=moment(element.get("messageTimestamp")),
        person=key.person,
        chat=key.chat,
    )


def _read_update(element: Json, own_phone: str) -> InboundEvent | None:
    """`messages.update`: how far a message of ours has come.

    Its id is `keyId`; `messageId` is a row of Evolution's.
    """
    nested = child(element, "key")
    flat = {**element, "id": identifier(element, "keyId") or identifier(nested, "id")}
    key = _read_key({**nested, **flat}, own_phone, anywhere=True)
    word = identifier(element, "status") or identifier(child(element, "update"), "status")
    receipt = _RECEIPTS.get(word.upper())
    # What we did with a message of theirs (read it on the phone) is no report about ours.
    if receipt is None or ("fromMe" in element and not key.from_business):
        return None
    return InboundEvent(
        event_key=receipt_key(key.message_id, receipt.name.lower(), key.participant),
        event=Receipt(
            external_message_id=key.message_id,
            kind=receipt,
            error_code=_FAILED_CODE if receipt is ReceiptKind.FAILED else "",
            participant=key.participant,
        ),
        person=key.person,
        chat=key.chat,
    )


def _read_edited(element: Json, own_phone: str) -> InboundEvent | None:
    """`messages.edited`: any protocol message at all. Its key is that of the message it changes."""
    said = change_from_protocol(element)
    if said is None:
        return None
    key = _read_key(said.target_key, own_phone)
    if said.kind is ChangeKind.REVOKE:
        own_key = _revoke_key(key.message_id)
    else:
        own_key = event_key("edit", key.message_id, digest(element))
    return InboundEvent(
        event_key=own_key,
        event=MessageChange(said.kind, key.message_id, said.text, key.from_business),
        provider_time=moment(element.get("timestampMs")),
        person=key.person,
        chat=key.chat,
    )


def _read_deleted(element: Json, own_phone: str) -> InboundEvent | None:
    """`messages.delete`.

    The key itself, or a stored message with the key inside if it was deleted over the API.
    """
    if flag(element, "all"):
        return None  # the chat was emptied on the phone; what was said stays said
    key = _read_key(child(element, "key") or element, own_phone)
    return InboundEvent(
        event_key=_revoke_key(key.message_id),
        event=MessageChange(ChangeKind.REVOKE, key.message_id, from_business=key.from_business),
        person=key.person,
        chat=key.chat,
    )


_READERS: Mapping[str, Callable[[Json, str], InboundEvent | None]] = {
    "messages.upsert": _read_upsert,
    "send.message": _read_sent,
    "messages.update": _read_update,
    "messages.edited": _read_edited,
    "messages.delete": _read_deleted,
}
