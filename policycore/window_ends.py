"""Conversation windows that are about to end: which are looked for, and what is known of one. Pure data."""

from dataclasses import dataclass
from datetime import datetime

from policycore.inbound import PersonRef


@dataclass(frozen=True, slots=True)
class Span:
    """The windows of an integration's instances that were opened or lengthened after `after`, up to `until`."""

    integration_id: str
    instance_ids: tuple[str, ...]
    after: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """A window that ends, and whose thread it is."""

    instance_id: str
    person_id: str
    person: PersonRef
    pseudonym: str
    name: str
    conversation_id: str
    last_inbound_at: datetime
