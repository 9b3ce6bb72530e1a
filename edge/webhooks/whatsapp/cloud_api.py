"""Cloud API webhooks -> events.

Pure. Shapes as in Meta's published schema, https://github.com/facebook/openapi (`business-messaging-api`).
One body may hold several accounts, numbers and fields; times are strings of Unix seconds, except where they
are integers.
"""

from collections.abc import Callable, Mapping
from functools import partial

from edge.webhooks.whatsapp.cloud_account import read_account_update
from edge.webhooks.whatsapp.cloud_content import NOT_WRITTEN, Changed, read_content
from edge.webhooks.whatsapp.cloud_people import Directory, ids, person, previous_id
from edge.webhooks.whatsapp.fields import (
    Json,
    as_object,
    child,
    decode,
    digest,
    elements,
    event_key,
    identifier,
    moment,
    receipt_key,
    text,
)
from edge.webhooks.whatsapp.intake import Intake, UnusableError, same_name
from edge.webhooks.whatsapp.jids import phone_from_digits
from edge.webhooks.whatsapp.model import (
    ChangeKind,
    ChatKind,
    Delivery,
    IdentityLink,
    InboundEvent,
    InboundMessage,
    MarketingPreference,
    MessageChange,
    PersonRef,
    Receipt,
    ReceiptKind,
)

MAX_ERROR_TEXT_CHARACTERS = 300
MAX_CORRELATION_CHARACTERS = 512

_RECEIPTS: Mapping[str, ReceiptKind] = {
    "accepted": ReceiptKind.ACCEPTED,
    "sent": ReceiptKind.SENT,
    "delivered": ReceiptKind.DELIVERED,
    "read": ReceiptKind.READ,
    "played": ReceiptKind.PLAYED,
    "failed": ReceiptKind.FAILED,
}
_IDENTITY_CHANGES = frozenset({"user_changed_number", "user_changed_user_id"})
_STOPPED: Mapping[str, bool] = {"stop": True, "resume": False, "signup": False}

# Others have lists of the same names that mean something else: `calls` has `statuses`, `history` has old
# messages.
_FIELDS = frozenset(
    {"messages", "smb_message_echoes", "message_echoes", "user_preferences", "user_id_update", ""}
)

_Reader = Callable[[Json, Directory], InboundEvent | None]


def parse(raw: bytes, external_name: str) -> Delivery:
    """Parse one webhook body; `external_name` is the phone number id of the instance.

    Raises NotJson if the body as a whole cannot be read.
    """
    body = decode(raw)
    intake = Intake()
    if not isinstance(body, dict):
        intake.reject("The body is not an object.")
        return intake.delivery()
    for entry_position, entry in intake.counted(elements(body, "entry")):
        for position, change in intake.counted(elements(as_object(entry), "changes")):
            where = f"Entry {entry_position}, change {position}"
            _take_change(intake, where, as_object(entry), as_object(change), external_name)
    return intake.delivery()


def _take_change(intake: Intake, where: str, entry: Json, change: Json, external_name: str) -> None:
    value = child(change, "value")
    field = identifier(change, "field")
    if not value:
        intake.reject(f"{where}: has no value.")
    elif not same_name(identifier(child(value, "metadata"), "phone_number_id"), external_name):
        intake.reject(f"{where}: belongs to another phone number id.")
    elif field == "account_update":
        intake.take(where, value, lambda part: read_account_update(part, entry))
    elif field in _FIELDS:
        _take_lists(intake, where, value)
    else:
        intake.ignore()


def _take_lists(intake: Intake, where: str, value: Json) -> None:
    directory = Directory(value)
    for list_name, (label, read) in _LISTS.items():
        listed = elements(value, list_name)
        intake.take_each(f"{where}, {label}", listed, partial(_read_with, read, directory))


def _read_with(read: _Reader, directory: Directory, element: Json) -> InboundEvent | None:
    return read(element, directory)


def _message_id(element: Json) -> str:
    message_id = identifier(element, "id")
    if not message_id:
        raise UnusableError("has no message id.")
    return message_id


def _read_message(message: Json, directory: Directory) -> InboundEvent | None:
    """One of `messages`. `from` is often missing; the business-scoped id is the one that is always there."""
    message_id = _message_id(message)
    if identifier(message, "type") == "system":
        return _identity_change(message, message_id)
    if identifier(message, "type") in NOT_WRITTEN:
        return None
    phone, scoped_id = ids(message, "from", "from_user_id")
    if not phone and not scoped_id:
        phone, scoped_id = directory.only()
    sender = directory.complete(phone, scoped_id)
    if sender is None:
        raise UnusableError("has no usable sender.")
    return _written(message, message_id, sender, contact_name=directory.name_of(phone, scoped_id))


def _read_echo(message: Json, directory: Directory) -> InboundEvent | None:
    """One of `message_echoes`: typed on the business's own phone.

    `from` is the business, `to` the customer.
    """
    message_id = _message_id(message)
    recipient = directory.complete(*ids(message, "to", "to_user_id"))
    return _written(message, message_id, recipient, from_business=True)


def _written(
    message: Json,
    message_id: str,
    who: PersonRef | None,
    *,
    contact_name: str = "",
    from_business: bool = False,
) -> InboundEvent:
    said = read_content(message)
    event: InboundMessage | MessageChange
    if isinstance(said, Changed):
        if not said.target:
            raise UnusableError("names no message that it changes.")
        event = MessageChange(said.kind, said.target, said.text, from_business)
        kind = "revoke" if said.kind is ChangeKind.REVOKE else "change"
    else:
        event = InboundMessage(
            external_message_id=message_id,
            kind=said.kind,
            text=said.text,
            media=said.media,
            contact_name=contact_name,
            from_business=from_business,
            quoted_external_message_id=identifier(child(message, "context"), "id"),
            is_button_reply=said.is_button_reply,
            voice=said.voice,
        )
        kind = "message"
    return InboundEvent(
        event_key=event_key(kind, message_id),
        event=event,
        provider_time=moment(message.get("timestamp")),
        person=who,
        chat=ChatKind.GROUP if identifier(message, "group_id") else ChatKind.DIRECT,
    )


def _identity_change(message: Json, message_id: str) -> InboundEvent | None:
    """A system message. It has no contacts, may lack `from`, and only its sentence holds the previous id."""
    system = child(message, "system")
    if identifier(system, "type") not in _IDENTITY_CHANGES:
        return None
    phone, scoped_id = ids(system, "wa_id", "user_id")
    old_phone, old_scoped_id = ids(message, "from", "from_user_id")
    if old_scoped_id in {"", scoped_id}:
        old_scoped_id = previous_id(system, scoped_id)
    return _link(
        event_key("identity", message_id),
        person(old_phone, old_scoped_id),
        person(phone or identifier(system, "new_wa_id"), scoped_id),
        message,
    )


def _read_id_update(update: Json, _: Directory) -> InboundEvent | None:
    """One of `user_id_update`: the person's business-scoped id was made anew."""
    pair = child(update, "user_id")
    phone = identifier(update, "wa_id")
    previous, current = identifier(pair, "previous"), identifier(pair, "current")
    key = event_key("identity", digest([previous, current, identifier(update, "timestamp")]))
    return _link(key, person("", previous), person(phone, current), update)


def _link(
    key: str, previous: PersonRef | None, current: PersonRef | None, element: Json
) -> InboundEvent | None:
    if previous is None or current is None:
        raise UnusableError("does not name both identities.")
    if previous == current:
        return None
    link = IdentityLink(previous, current)
    return InboundEvent(key, link, provider_time=moment(element.get("timestamp")), person=current)


def _read_status(status: Json, directory: Directory) -> InboundEvent | None:
    """One of `statuses`. In a group several come for one message, which differ by the participant only."""
    message_id = _message_id(status)
    kind = _RECEIPTS.get(identifier(status, "status").lower())
    if kind is None:
        return None
    participant = ""
    in_group = identifier(status, "recipient_type") == "group"
    if in_group:
        phone, scoped_id = ids(status, "recipient_participant_id", "recipient_participant_user_id")
        participant = scoped_id or phone_from_digits(phone)
    else:
        phone, scoped_id = ids(status, "recipient_id", "recipient_user_id")
    error = as_object(next(iter(elements(status, "errors")), None))
    receipt = Receipt(
        external_message_id=message_id,
        kind=kind,
        error_code=identifier(error, "code"),
        error_text=_error_text(error),
        correlation_id=text(status, "biz_opaque_callback_data", limit=MAX_CORRELATION_CHARACTERS),
        participant=participant,
        price_category=identifier(child(status, "pricing"), "category"),
    )
    return InboundEvent(
        event_key=receipt_key(message_id, kind.name.lower(), participant),
        event=receipt,
        provider_time=moment(status.get("timestamp")),
        person=directory.complete(phone, scoped_id),
        chat=ChatKind.GROUP if in_group else ChatKind.DIRECT,
    )


def _error_text(error: Json) -> str:
    """Meta's advice is to build on code and details; title and message only repeat the code."""
    details = text(child(error, "error_data"), "details") or text(error, "message", "title")
    return " ".join(details.split())[:MAX_ERROR_TEXT_CHARACTERS]


def _read_preference(preference: Json, directory: Directory) -> InboundEvent | None:
    """One of `user_preferences`: the person used WhatsApp's own control for marketing messages."""
    stopped = _STOPPED.get(identifier(preference, "value").lower())
    if stopped is None or identifier(preference, "category") not in {"marketing_messages", ""}:
        return None
    phone, scoped_id = ids(preference, "wa_id", "user_id")
    who = directory.complete(phone, scoped_id)
    if who is None:
        raise UnusableError("names no person.")
    said_at = identifier(preference, "timestamp")
    return InboundEvent(
        event_key=event_key("preference", digest([phone, scoped_id, stopped, said_at])),
        event=MarketingPreference(stopped),
        provider_time=moment(preference.get("timestamp")),
        person=who,
    )


def _read_error(error: Json, _: Directory) -> InboundEvent | None:
    """One of `errors` beside the lists: Meta could not make a webhook of something.

    Nothing is known but the code.
    """
    code = identifier(error, "code")
    raise UnusableError(f"reports error {code}." if code.isdecimal() else "reports an error without a code.")


_LISTS: Mapping[str, tuple[str, _Reader]] = {
    "messages": ("message", _read_message),
    "message_echoes": ("echo", _read_echo),
    "statuses": ("status", _read_status),
    "user_preferences": ("preference", _read_preference),
    "user_id_update": ("id update", _read_id_update),
    "errors": ("error", _read_error),
}
