"""WAHA webhooks -> events.

Pure. Shapes as in https://waha.devlike.pro/docs/how-to/events/ and WAHA's OpenAPI file (2026.7). A message is
known by its bare id, which alone is the same in every event and engine. The envelope's `id` belongs to the
subscription, not to what happened, and cannot tell duplicates.
"""

from collections.abc import Callable, Mapping

from edge.webhooks.whatsapp import waha_content, waha_state
from edge.webhooks.whatsapp.fields import (
    Json,
    child,
    decode,
    digest,
    elements,
    event_key,
    identifier,
    moment,
    name,
    number,
    receipt_key,
    text,
)
from edge.webhooks.whatsapp.intake import Intake, UnusableError, same_name
from edge.webhooks.whatsapp.jids import parse_jid, phone_of
from edge.webhooks.whatsapp.model import (
    ChangeKind,
    ChatKind,
    Delivery,
    InboundEvent,
    InboundMessage,
    MessageChange,
    MessageKind,
    Receipt,
    ReceiptKind,
)
from edge.webhooks.whatsapp.renderings import MAX_LISTED, labelled
from edge.webhooks.whatsapp.waha_place import MessageId, Where, locate, split_id

_RECEIPTS: Mapping[str, ReceiptKind] = {
    "-1": ReceiptKind.FAILED,
    "0": ReceiptKind.ACCEPTED,
    "1": ReceiptKind.SENT,
    "2": ReceiptKind.DELIVERED,
    "3": ReceiptKind.READ,
    "4": ReceiptKind.PLAYED,
    "ERROR": ReceiptKind.FAILED,
    "PENDING": ReceiptKind.ACCEPTED,
    "SERVER": ReceiptKind.SENT,
    "DEVICE": ReceiptKind.DELIVERED,
    "READ": ReceiptKind.READ,
    "PLAYED": ReceiptKind.PLAYED,
}
_FAILED_CODE = "ERROR"


def parse(raw: bytes, external_name: str) -> Delivery:
    """Parse one webhook body; `external_name` is the session's name.

    Raises NotJson if the body as a whole cannot be read.
    """
    body = decode(raw)
    intake = Intake()
    if not isinstance(body, dict):
        intake.reject("The body is not an object.")
        return intake.delivery()
    event_name = identifier(body, "event").lower()
    if not same_name(name(body, "session"), external_name):
        intake.reject("The body names another session.")
    elif event_name in _READERS:
        own_phone = phone_of(parse_jid(child(body, "me").get("id")))
        read = _READERS[event_name]
        if child(body, "payload"):
            intake.take("The payload", body, lambda _: read(child(body, "payload"), body, own_phone))
        else:
            intake.reject("The payload: is not an object.")
    else:
        intake.ignore()
    return intake.delivery()


def _read_message(payload: Json, _: Json, own_phone: str) -> InboundEvent | None:
    """`message` and `message.any`: both may be subscribed to, and then tell of the same message twice."""
    where = locate(payload, own_phone)
    said = waha_content.read_content(payload)
    if said is None:
        return None
    if where.from_business and identifier(payload, "source") == "api":
        return _accepted(payload, where, said.text)
    person = where.person
    if where.from_business and where.chat is not ChatKind.DIRECT:
        person = None
    elif person is None and where.chat is ChatKind.BROADCAST:
        return None  # a newsletter has no author
    elif person is None and not where.from_business:
        raise UnusableError("has no usable sender.")
    message = InboundMessage(
        external_message_id=where.message_id,
        kind=said.kind,
        text=said.text,
        media=said.media,
        contact_name="" if where.from_business else waha_content.contact_name(payload),
        from_business=where.from_business,
        quoted_external_message_id=split_id(child(payload, "replyTo").get("id")).bare or said.quoted_id,
        is_button_reply=said.is_button_reply,
        voice=said.voice,
        seconds=said.seconds,
        view_once=said.view_once,
    )
    return InboundEvent(
        event_key("message", where.message_id), message, moment(payload.get("timestamp")), person, where.chat
    )


def _accepted(payload: Json, where: Where, said: str) -> InboundEvent:
    """A message sent over the API, told back with its text.

    Settles sends whose answer was lost or had no id.
    """
    failed = _receipt_kind(payload) is ReceiptKind.FAILED
    receipt = Receipt(
        external_message_id=where.message_id,
        kind=ReceiptKind.FAILED if failed else ReceiptKind.ACCEPTED,
        error_code=_FAILED_CODE if failed else "",
        text=said,
    )
    key = event_key("sent", where.message_id)
    return InboundEvent(key, receipt, moment(payload.get("timestamp")), where.person, where.chat)


def _receipt_kind(payload: Json) -> ReceiptKind | None:
    level = number(payload.get("ack"))
    by_level = _RECEIPTS.get(f"{level:g}") if level is not None else None
    return by_level or _RECEIPTS.get(identifier(payload, "ackName").upper())


def _read_ack(payload: Json, body: Json, own_phone: str) -> InboundEvent | None:
    """`message.ack` and `message.ack.group`."""
    where = locate(payload, own_phone, anywhere=True)
    kind = _receipt_kind(payload)
    if kind is None or not where.from_business:
        return None  # what we read on the phone is no report about a message of ours
    receipt = Receipt(
        external_message_id=where.message_id,
        kind=kind,
        error_code=_FAILED_CODE if kind is ReceiptKind.FAILED else "",
        participant=where.participant,
    )
    return InboundEvent(
        receipt_key(where.message_id, kind.name.lower(), where.participant),
        receipt,
        moment(payload.get("timestamp")) or moment(body.get("timestamp")),
        where.person,
        where.chat,
    )


def _change(payload: Json, body: Json, own_phone: str, change: MessageChange, key: str) -> InboundEvent:
    where = locate(payload, own_phone)
    happened_at = moment(payload.get("timestamp")) or moment(body.get("timestamp"))
    return InboundEvent(key, change, happened_at, where.person, where.chat)


def _target(target: MessageId) -> str:
    if not target.bare:
        raise UnusableError("names no message that it changes.")
    return target.bare


def _read_reaction(payload: Json, body: Json, own_phone: str) -> InboundEvent | None:
    """`message.reaction`; an empty text takes the reaction away."""
    reaction = child(payload, "reaction")
    target = _target(split_id(reaction.get("messageId")))
    emoji = text(reaction, "text", limit=64)
    where = locate(payload, own_phone)
    kind = ChangeKind.REACTION if emoji else ChangeKind.REACTION_REMOVED
    # Some engines use the same id for a reaction and for its removal.
    key = event_key("change", where.message_id, digest([target, emoji, number(payload.get("timestamp"))]))
    return _change(payload, body, own_phone, MessageChange(kind, target, emoji, where.from_business), key)


def _read_edited(payload: Json, body: Json, own_phone: str) -> InboundEvent | None:
    """`message.edited`: `editedMessageId` is a bare id, `body` the new text."""
    target = _target(split_id(payload.get("editedMessageId") or payload.get("id")))
    where = locate(payload, own_phone)
    said = text(payload, "body")
    key = event_key("edit", target, digest([where.message_id, said, number(payload.get("timestamp"))]))
    change = MessageChange(ChangeKind.EDIT, target, said, where.from_business)
    return _change(payload, body, own_phone, change, key)


def _read_revoked(payload: Json, body: Json, own_phone: str) -> InboundEvent | None:
    """`message.revoked`.

    `after` is the deletion, `before` the message if WAHA still had it; either may be null.
    """
    after, before = child(payload, "after"), child(payload, "before")
    target = _target(split_id(payload.get("revokedMessageId") or before.get("id") or after.get("id")))
    shown = after or before
    where = locate(shown, own_phone)
    change = MessageChange(ChangeKind.REVOKE, target, from_business=where.from_business)
    return _change(shown, body, own_phone, change, event_key("revoke", target))


def _read_vote(payload: Json, body: Json, own_phone: str) -> InboundEvent | None:
    """`poll.vote`: an answer to a poll. An empty one takes the answer back, and says nothing."""
    vote = child(payload, "vote")
    options = [option for option in elements(vote, "selectedOptions") if isinstance(option, str)]
    where = locate(vote, own_phone)
    if not options or where.from_business:
        return None
    if where.person is None:
        raise UnusableError("has no usable sender.")
    message = InboundMessage(
        external_message_id=where.message_id,
        kind=MessageKind.POLL,
        text=labelled("Poll answer", options[:MAX_LISTED]),
        quoted_external_message_id=split_id(child(payload, "poll").get("id")).bare,
    )
    happened_at = moment(vote.get("timestamp")) or moment(body.get("timestamp"))
    return InboundEvent(
        event_key("message", where.message_id, digest(options)),
        message,
        happened_at,
        where.person,
        where.chat,
    )


_READERS: Mapping[str, Callable[[Json, Json, str], InboundEvent | None]] = {
    "message": _read_message,
    "message.any": _read_message,
    "message.ack": _read_ack,
    "message.ack.group": _read_ack,
    "message.reaction": _read_reaction,
    "message.edited": _read_edited,
    "message.revoked": _read_revoked,
    "poll.vote": _read_vote,
    "session.status": waha_state.read_session_status,
}
