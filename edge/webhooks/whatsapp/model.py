"""The events a WhatsApp back end reports, as plain data; field for field what `events.proto` says.

Pure. Times are aware datetimes in UTC. Enum numbers are the proto's, so that `edge/clients` can copy them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class NotJson(ValueError):
    """The body as a whole is not JSON in UTF-8, or is nested too deeply.

    Says why, without quoting the body.
    """


class ChatKind(IntEnum):
    """What kind of chat an event belongs to. Only direct chats open windows."""

    DIRECT = 1
    GROUP = 2
    BROADCAST = 3


class MessageKind(IntEnum):
    """The kinds of message the gateway tells apart."""

    TEXT = 1
    IMAGE = 2
    VIDEO = 3
    AUDIO = 4
    DOCUMENT = 5
    STICKER = 6
    LOCATION = 7
    CONTACTS = 8
    INTERACTIVE = 9
    ORDER = 10
    POLL = 11
    OTHER = 12


class ReceiptKind(IntEnum):
    """How far a message of ours has come, in rising order; FAILED wins over ACCEPTED and SENT only."""

    ACCEPTED = 1
    SENT = 2
    DELIVERED = 3
    READ = 4
    PLAYED = 5
    FAILED = 6


class InstanceState(IntEnum):
    """State of an instance."""

    OPEN = 1
    CONNECTING = 2
    CLOSE = 3


class ChangeKind(IntEnum):
    """What happened to an earlier message."""

    REACTION = 1
    REACTION_REMOVED = 2
    EDIT = 3
    REVOKE = 4


@dataclass(frozen=True, slots=True)
class PersonRef:
    """Someone on WhatsApp; at least one field is set.

    `phone` is E.164 with `+`. `lid` is WhatsApp's linked id, digits without `@lid`, and never a phone number.
    `business_scoped_id` is the Cloud API's id of a user. Fields that are set together belong to the same
    person.
    """

    phone: str = ""
    lid: str = ""
    business_scoped_id: str = ""


@dataclass(frozen=True, slots=True)
class Media:
    """A file that came with a message. The bytes stay with the back end; every field may be empty."""

    url: str = ""
    external_id: str = ""
    mime_type: str = ""
    file_name: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """A message someone wrote, or that was typed on the business's own phone (`from_business`)."""

    external_message_id: str
    kind: MessageKind
    text: str = ""
    media: tuple[Media, ...] = ()
    contact_name: str = ""
    from_business: bool = False
    quoted_external_message_id: str = ""
    is_button_reply: bool = False
    voice: bool = False
    seconds: int = 0
    view_once: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """A report about a message of ours. `text` is set where the back end repeats the message."""

    external_message_id: str
    kind: ReceiptKind
    error_code: str = ""
    error_text: str = ""
    correlation_id: str = ""
    participant: str = ""
    price_category: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class InstanceStateChange:
    """An instance said that its state changed.

    `reason` is a short stable word or empty. `replies_only_until` is set while only existing chats may be
    answered.
    """

    state: InstanceState
    reason: str = ""
    replies_only_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MarketingPreference:
    """The person used WhatsApp's own control for marketing messages: True for stop."""

    stopped: bool


@dataclass(frozen=True, slots=True)
class IdentityLink:
    """Two identities turned out to be one person's."""

    previous: PersonRef
    current: PersonRef


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A reaction to, an edit of or the deletion of an earlier message.

    `text` is the emoji or the new text.
    """

    kind: ChangeKind
    target_external_message_id: str
    text: str = ""
    from_business: bool = False


Event = InboundMessage | Receipt | InstanceStateChange | MarketingPreference | IdentityLink | MessageChange


@dataclass(frozen=True, slots=True)
class InboundEvent:
    """One thing a back end reported.

    `event_key` has at most 200 characters, is unique within the instance and the same in every redelivery.
    `provider_time` is None where the provider gave no time that can be trusted.
    """

    event_key: str
    event: Event
    provider_time: datetime | None = None
    person: PersonRef | None = None
    chat: ChatKind = ChatKind.DIRECT


@dataclass(frozen=True, slots=True)
class Delivery:
    """Everything one body held.

    `events` are in the body's order. `unparsed` names broken elements, one plain sentence each, without
    message text, names or numbers of people. `ignored` counts elements that are known, or unknown, to be of
    no concern.
    """

    events: tuple[InboundEvent, ...] = ()
    unparsed: tuple[str, ...] = ()
    ignored: int = 0
