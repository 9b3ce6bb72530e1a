"""What the edge knows while it serves one request: credentials, submissions and their outcomes, as plain
data.

Pure: no I/O, no clock, no third-party package. Instants are Unix seconds (float) unless a field says
otherwise. What is made anew for every request is not frozen, since freezing triples what making it costs; nobody
changes it all the same.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressRanges:
    """Networks, found in a time that tells neither how many there are nor whether there are any."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, networks: Iterable[Network]) -> None:
        named = list(networks)
        of_four = collapse_addresses(each for each in named if isinstance(each, IPv4Network))
        of_six = collapse_addresses(each for each in named if isinstance(each, IPv6Network))
        found: dict[int, list[Network]] = {4: list(of_four), 6: list(of_six)}
        self._firsts = {kind: [int(each[0]) for each in found[kind]] for kind in found}
        self._lasts = {kind: [int(each[-1]) for each in found[kind]] for kind in found}

    def __contains__(self, address: Address) -> bool:
        number, version = int(address), address.version
        at = bisect_right(self._firsts[version], number) - 1
        return at >= 0 and number <= self._lasts[version][at]


@dataclass(frozen=True, slots=True)
class Secret:
    """One webhook secret. `digest` is the SHA-256 of `text`; `valid_until` is None for the newest."""

    secret_id: str
    text: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    valid_until: float | None = None


@dataclass(frozen=True, slots=True)
class IntegrationKey:
    """How callers of one 3CX integration prove themselves. No networks means every address is allowed."""

    integration_id: str
    account_id: str
    enabled: bool
    secrets: tuple[Secret, ...]
    signature_required: bool = False
    networks: tuple[Network, ...] = ()
    unreadable_networks: bool = False
    query_token_enabled: bool = False
    ranges: AddressRanges = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", AddressRanges(self.networks))


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One customer's API key, known by its SHA-256 alone."""

    api_key_id: str
    account_id: str
    revoked: bool = False
    test: bool = False


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """How one WhatsApp instance's webhooks prove themselves. An empty secret turns every webhook away."""

    instance_id: str
    account_id: str
    backend: str
    webhook_secret: str = field(repr=False)
    verify_token: str = field(repr=False)
    external_name: str
    enabled: bool
    former_webhook_secret: Secret | None = field(default=None, repr=False)
    former_verify_token: Secret | None = field(default=None, repr=False)

    @property
    def webhook_secrets(self) -> frozenset[str]:
        """The secret, and the one before a rotation."""
        former = self.former_webhook_secret
        return frozenset({self.webhook_secret} | ({former.text.decode()} if former else set()))


@dataclass(frozen=True, slots=True)
class CredentialSnapshot:
    """All credentials at one version. `sms_integrations` are those with an SMS-provider connector, with its bearer keys
    as their secrets, of which only digests are known.
    """

    version: int
    integrations: Mapping[str, IntegrationKey]
    api_keys: Mapping[bytes, ApiKey]
    instances: Mapping[str, InstanceKey]
    sms_integrations: Mapping[str, IntegrationKey] = field(default_factory=dict)


@dataclass(slots=True)
class SignatureClaim:
    """A signature that is accepted once. `digest` names it; after `expires_at` it is stale anyway."""

    digest: bytes
    expires_at: float


@dataclass(slots=True)
class CrmReport:
    """What a CRM template says of a call or chat. `unreadable_start` if it names a start that nobody understands."""

    call: int
    started_at: float | None = None
    unreadable_start: bool = False


@dataclass(slots=True)
class SmsProviderReply:
    """What a reply says that came to the SMS-provider connector, beside recipient and text."""

    from_number: str
    attachments: int


@dataclass(slots=True)
class Submission:
    """One request to send, or an event to record, as the caller wrote it."""

    body_digest: bytes
    event_type: int
    integration_id: str = ""
    api_key_id: str = ""
    idempotency_key: str = ""
    signature: SignatureClaim | None = None
    event_type_text: str = ""
    phone: str = ""
    text: str = ""
    purpose: str = ""
    conversation_id: str = ""
    agent_extension: str = ""
    queue: str = ""
    call_time: str = ""
    instance: str = ""
    report: CrmReport | None = None
    sms: SmsProviderReply | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer with its numbers. `passes_at` is None if nobody knows."""

    check: int
    verdict: int
    reason: int
    explanation: str = ""
    shadow: bool = False
    limit: int | None = None
    used: int | None = None
    passes_at: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Decision:
    """One decision. `log_id` is 0 if nothing was recorded."""

    decision_id: str
    log_id: int
    verdict: int
    reason: int
    action: int
    findings: tuple[Finding, ...] = ()
    risk_score: int = 0
    retry_after_seconds: float | None = None
    explanation: str = ""
    decided_at: float | None = None


@dataclass(slots=True)
class MessageFate:
    """What a message has come to: as much of it as the answer to its submission tells."""

    message_id: str
    state: int
    external_message_id: str = ""
    error_code: str = ""
    error_text: str = ""


@dataclass(slots=True)
class Message(MessageFate):
    """One message, as far as it has come. Person and text are empty or masked unless they were asked for
    with the right.
    """

    log_id: int = 0
    instance_id: str = ""
    conversation_id: str = ""
    event_type: str = ""
    outbound: bool = True
    phone: str = ""
    text: str = ""
    created_at: float | None = None
    updated_at: float | None = None


@dataclass(slots=True)
class Outcome:
    """What came of one submission."""

    decision: Decision
    message: MessageFate | None = None
    duplicate: bool = False
    event_type: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request that could not be parsed may be told what is wrong with it."""

    reason: int
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Contact:
    """Someone who wrote on WhatsApp. `name` may be empty; `phone` is E.164."""

    person_id: str
    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What came of looking up a number; `reason` other than ALLOWED says why nobody was looked for."""

    reason: int
    retry_after_seconds: float | None = None
    contact: Contact | None = None


@dataclass(frozen=True, slots=True)
class DecisionRow:
    """One row of the policy log, for administrators; the phone is masked."""

    decision: Decision
    account_id: str
    integration_id: str
    instance_id: str
    caller: str
    event_type: int
    purpose: str
    phone_masked: str
    message_id: str
    message_state: int
    conversation_id: str


@dataclass(frozen=True, slots=True)
class ForwardedEvent:
    """An event on its way to 3CX, for the sandbox's view."""

    delivery_id: str
    event_name: str
    body_json: str
    state: str
    attempts: int
    integration_id: str
    created_at: float | None = None
    settled_at: float | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was done with the events of one webhook delivery."""

    recorded: int
    duplicates: int
    message_ids: tuple[str, ...] = ()
