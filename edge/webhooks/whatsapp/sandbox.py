"""The sandbox instance's own format -> events; the one back end that lives inside the product.

Pure. One element, or several under `events`. `event` is `message` (the default), `receipt` or `state`:

    {"event": "message", "message_id": "sbx_1", "from": "+966500000000", "text": "Hello", "timestamp":
    1782898200} {"event": "receipt", "message_id": "sbx_2", "receipt": "delivered", "to": "+966500000000"}
    {"event": "state", "id": "sbx_3", "state": "close", "reason": "logged_out"}

`from` and `to` are a phone number, a linked id (`1234@lid`) or a business-scoped id (`US.1234`).
"""

from collections.abc import Callable, Mapping

from edge.webhooks.whatsapp.cloud_people import person as person_by_id
from edge.webhooks.whatsapp.fields import (
    Json,
    decode,
    elements,
    event_key,
    flag,
    identifier,
    moment,
    name,
    text,
)
from edge.webhooks.whatsapp.intake import Intake, UnusableError, same_name
from edge.webhooks.whatsapp.jids import person_from
from edge.webhooks.whatsapp.model import (
    ChatKind,
    Delivery,
    InboundEvent,
    InboundMessage,
    InstanceState,
    InstanceStateChange,
    MessageKind,
    PersonRef,
    Receipt,
    ReceiptKind,
)

_WRITTEN = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789", " -().\u200e\u200f\u202a\u202c")
_CHATS = {"": ChatKind.DIRECT} | {kind.name.lower(): kind for kind in ChatKind}
_RECEIPTS = {kind.name.lower(): kind for kind in ReceiptKind}
_STATES = {state.name.lower(): state for state in InstanceState}


def parse(raw: bytes, external_name: str) -> Delivery:
    """Parse one body; `external_name` is compared with `instance`, if the body has one.

    Raises NotJson if the body as a whole cannot be read.
    """
    body = decode(raw)
    intake = Intake()
    if not isinstance(body, dict):
        intake.reject("The body is not an object.")
    elif not same_name(name(body, "instance"), external_name):
        intake.reject("The body names another instance.")
    elif "events" in body:
        intake.take_each("Event", elements(body, "events"), _read)
    else:
        intake.take("Event 1", body, _read)
    return intake.delivery()


def _read(part: Json) -> InboundEvent:
    read = _READERS.get(identifier(part, "event").lower() or "message")
    if read is None:
        raise UnusableError("is of a kind that is not known.")
    return read(part)


def person(written: str) -> PersonRef | None:
    """A person as a tester writes one.

    Phone with `+`, with `00`, spaced or in Arabic digits, linked id, scoped id.
    """
    if "@" in written:
        return person_from([written])
    plain = written.translate(_WRITTEN)
    if plain.startswith("00"):
        plain = f"+{plain[2:]}"
    return person_by_id(plain, "") or person_by_id(written.strip(), "")


def _message(part: Json) -> InboundEvent:
    message_id = identifier(part, "message_id", "id")
    if not message_id:
        raise UnusableError("has no message id.")
    sender = person(identifier(part, "from"))
    if sender is None:
        raise UnusableError("has no usable sender.")
    chat = _CHATS.get(identifier(part, "chat").lower())
    if chat is None:
        raise UnusableError("names no kind of chat that is known.")
    tapped = flag(part, "is_button_reply")
    message = InboundMessage(
        external_message_id=message_id,
        kind=MessageKind.INTERACTIVE if tapped else MessageKind.TEXT,
        text=text(part, "text"),
        contact_name=name(part, "contact_name"),
        from_business=flag(part, "from_business"),
        quoted_external_message_id=identifier(part, "quoted_message_id"),
        is_button_reply=tapped,
    )
    return InboundEvent(
        event_key("message", message_id), message, moment(part.get("timestamp")), sender, chat
    )


def _receipt(part: Json) -> InboundEvent:
    message_id = identifier(part, "message_id", "id")
    kind = _RECEIPTS.get(identifier(part, "receipt").lower())
    if not message_id or kind is None:
        raise UnusableError("has no message id, or no receipt that is known.")
    receipt = Receipt(
        external_message_id=message_id,
        kind=kind,
        error_code=identifier(part, "error_code"),
        error_text=name(part, "error_text"),
        correlation_id=identifier(part, "correlation_id"),
        text=text(part, "text"),
    )
    key = event_key("receipt", message_id, kind.name.lower())
    return InboundEvent(key, receipt, moment(part.get("timestamp")), person(identifier(part, "to")))


def _state(part: Json) -> InboundEvent:
    state = _STATES.get(identifier(part, "state").lower())
    event_id = identifier(part, "id", "message_id")
    if state is None or not event_id:
        raise UnusableError("has no id, or no state that is known.")
    change = InstanceStateChange(state, identifier(part, "reason"), moment(part.get("replies_only_until")))
    return InboundEvent(event_key("state", event_id), change, moment(part.get("timestamp")))


_READERS: Mapping[str, Callable[[Json], InboundEvent]] = {
    "message": _message,
    "receipt": _receipt,
    "state": _state,
}
