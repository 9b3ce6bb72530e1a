"""What a back end reported, in the gateway's own words: the pure core's picture of `events.proto`."""

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum


class ChatKind(IntEnum):
    """Kind of chat. Only direct chats open windows."""

    DIRECT = 1
    GROUP = 2
    BROADCAST = 3


class ReceiptKind(IntEnum):
    """How far a message of ours has come."""

    ACCEPTED = 1
    SENT = 2
    DELIVERED = 3
    READ = 4
    PLAYED = 5
    FAILED = 6


@dataclass(frozen=True, slots=True)
class PersonRef:
    """Identities of a person; at least one is not empty."""

    phone: str = ""
    lid: str = ""
    bsuid: str = ""

    def identities(self) -> tuple[tuple[str, str], ...]:
        """(kind, value) pairs, the most lasting first."""
        pairs = (("phone", self.phone), ("bsuid", self.bsuid), ("lid", self.lid))
        return tuple((kind, value) for kind, value in pairs if value)


@dataclass(frozen=True, slots=True)
class MediaItem:
    """A file that came with a message; the bytes stay with the back end."""

    url: str = ""
    external_id: str = ""
    mime_type: str = ""
    file_name: str = ""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message someone wrote, or that was typed on the business's own phone. `kind` is a number of
    `MessageKind`.
    """

    external_message_id: str
    kind: int
    text: str = ""
    media: tuple[MediaItem, ...] = ()
    contact_name: str = ""
    from_business: bool = False
    quoted_external_message_id: str = ""
    is_button_reply: bool = False
    voice: bool = False
    seconds: int = 0
    view_once: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """A report about a message of ours."""

    external_message_id: str
    kind: ReceiptKind
    error_code: str = ""
    error_text: str = ""
    correlation_id: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class InstanceStateChange:
    """An instance's state: `open`, `connecting` or `close`."""

    state: str
    reason: str = ""
    replies_only_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class MarketingPreference:
    """WhatsApp's own control for marketing messages."""

    stopped: bool


@dataclass(frozen=True, slots=True)
class IdentityLink:
    """Two identities are one person's."""

    previous: PersonRef
    current: PersonRef


@dataclass(frozen=True, slots=True)
class MessageChange:
    """A reaction (1), its removal (2), an edit (3) or a deletion (4) of an earlier message."""

    kind: int
    target_external_message_id: str
    text: str = ""
    from_business: bool = False


Report = Message | Receipt | InstanceStateChange | MarketingPreference | IdentityLink | MessageChange


@dataclass(frozen=True, slots=True)
class InboundEvent:
    """One thing a back end reported. `provider_time` is on the provider's clock, None if it gave none."""

    event_key: str
    report: Report
    person: PersonRef = PersonRef()
    chat: ChatKind = ChatKind.DIRECT
    provider_time: datetime | None = None
