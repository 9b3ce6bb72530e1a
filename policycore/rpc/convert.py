"""Decisions, messages and requests: wire <-> model, and nothing else."""

from functools import lru_cache
from hashlib import sha256

from msgspec.structs import replace

from hubgate.policy.v1 import decision_pb2, events_pb2, policy_service_pb2
from policycore.errors import Malformed, NotFound
from policycore.ledger import MessageView
from policycore.model import Decision, EventType, Finding, Intent, Source
from policycore.phone import mask_phone, normalize_phone
from policycore.reasons import Verdict
from policycore.registry.rights import CallerKind, Identity
from policycore.registry.snapshot import IntegrationConfig, Snapshot, ThreecxSmsConfig
from policycore.rpc.times import nearest_datetime, set_timestamp, to_duration
from policycore.usecases.command import Decided, SubmitCommand
from policycore.whatsapp_marks import as_typed

_MAX_KEY_CHARACTERS = 200
_ALLOW = Verdict.ALLOW


def _set_finding(wire: decision_pb2.Finding, finding: Finding) -> None:
    wire.check = finding.check  # type: ignore[assignment]
    wire.verdict = finding.verdict  # type: ignore[assignment]
    wire.reason = finding.reason  # type: ignore[assignment]
    wire.explanation = finding.explanation
    wire.shadow = finding.shadow
    wire.facts.update(finding.facts)
    if finding.limit is not None:
        wire.limit = finding.limit
    if finding.used is not None:
        wire.used = finding.used
    if finding.passes_at is not None:
        set_timestamp(wire.passes_at, finding.passes_at)


def decision_to_wire(
    decision: Decision, decision_id: str, log_id: int, *, every_finding: bool
) -> decision_pb2.Decision:
    """A decision; without `every_finding` only the findings that do not simply allow."""
    wire = decision_pb2.Decision()
    _set_decision(wire, decision, decision_id, log_id, every_finding=every_finding)
    return wire


def _set_decision(
    wire: decision_pb2.Decision, decision: Decision, decision_id: str, log_id: int, *, every_finding: bool
) -> None:
    wire.decision_id = decision_id
    wire.log_id = log_id
    wire.verdict = decision.verdict  # type: ignore[assignment]
    wire.reason = decision.reason  # type: ignore[assignment]
    wire.action = decision.action  # type: ignore[assignment]
    wire.risk_score = decision.risk_score
    wire.rules_version = decision.rules_version
    wire.explanation = decision.explanation
    for finding in decision.findings:
        if every_finding or finding.verdict is not _ALLOW or finding.shadow:
            _set_finding(wire.findings.add(), finding)
    if decision.retry_after_seconds is not None:
        wire.retry_after.CopyFrom(to_duration(decision.retry_after_seconds))


def message_to_wire(view: MessageView, *, reveal: bool) -> events_pb2.Message:
    """A message; without `reveal` its text is left out and its number masked."""
    wire = events_pb2.Message()
    _set_message(wire, view, reveal=reveal)
    return wire


def _set_message(wire: events_pb2.Message, view: MessageView, *, reveal: bool) -> None:
    wire.message_id = view.message_id
    wire.account_id = view.account_id
    wire.instance_id = view.instance_id
    wire.integration_id = view.integration_id or ""
    wire.conversation_id = view.conversation_id
    person = wire.person
    # Touched in any case: the message says that there is a person, even where nothing of it is shown.
    person.SetInParent()
    person.phone = view.phone if reveal or not view.phone else mask_phone(view.phone)
    if reveal:
        person.lid = view.lid
        person.business_scoped_id = view.bsuid
        wire.text = view.text
    wire.outbound = view.outbound
    wire.state = view.state  # type: ignore[assignment]
    wire.external_message_id = view.external_message_id
    set_timestamp(wire.created_at, view.created_at)
    set_timestamp(wire.updated_at, view.updated_at)
    wire.log_id = view.log_id
    wire.error_code = view.error_code
    wire.error_text = view.error_text
    wire.event_type = _event_word(view.event_type) if view.event_type else ""
    wire.kind = view.kind  # type: ignore[assignment]


@lru_cache(maxsize=64)
def _event_word(event_type: int) -> str:
    name = policy_service_pb2.EventType.Name(event_type)  # type: ignore[arg-type]
    return name.removeprefix("EVENT_TYPE_").lower()


def answer_to_wire(decided: Decided) -> policy_service_pb2.SubmitResponse:
    """The answer to one request."""
    wire = policy_service_pb2.SubmitResponse()
    set_answer(wire, decided)
    return wire


def set_answer(wire: policy_service_pb2.SubmitResponse, decided: Decided) -> None:
    """Writes the answer to one request into a message that stands in another already."""
    decision = wire.decision
    _set_decision(decision, decided.decision, decided.decision_id, decided.log_id, every_finding=False)
    set_timestamp(decision.decided_at, decided.decided_at)
    wire.duplicate = decided.duplicate
    wire.event_type = decided.event_type  # type: ignore[assignment]
    if decided.message is not None:
        _set_message(wire.message, decided.message, reveal=False)


def command_from_wire(
    request: policy_service_pb2.SubmitRequest, identity: Identity, snapshot: Snapshot
) -> tuple[SubmitCommand, int | None]:
    """A request to decide, and its webhook's requests per minute (None if it came through no webhook).

    Raises Malformed, NotFound, or NotPermittedError if the caller may not act for the account.
    """
    origin = request.WhichOneof("origin")
    limit: int | None = None
    test_key = False
    if origin is not None and identity.kind is not CallerKind.EDGE:
        raise Malformed("origin", "only the edge speaks for integrations and API keys.")
    if origin == "integration_id":
        integration = snapshot.integrations.get(request.integration_id)
        if integration is None:
            raise NotFound(f"integration {request.integration_id[:64]!r}")
        account_id, source, limit = integration.account_id, Source.THREECX, integration.requests_per_minute
        scope = f"int:{integration.integration_id}"
        if request.HasField("sms_provider"):
            return threecx_sms_command(request, identity, integration, scope)
    elif origin == "api_key_id":
        key = snapshot.api_keys.get(request.api_key_id)
        if key is None:
            raise NotFound(f"API key {request.api_key_id[:64]!r}")
        account_id, source, test_key, scope = (
            key.account_id,
            Source.SEND_API,
            key.test,
            f"api:{key.account_id}",
        )
    else:
        account_id, source = _service_account(request, identity, snapshot), Source.SERVICE
        scope = f"svc:{identity.token_id or identity.name}"
    identity.require_account(account_id)
    intent = _intent(request, account_id, source, identity.name, test_key)
    return _command(request, intent, scope), limit


def _service_account(
    request: policy_service_pb2.SubmitRequest, identity: Identity, snapshot: Snapshot
) -> str:
    account_id = request.account_id
    if not account_id and not identity.every_account and len(identity.account_ids) == 1:
        account_id = next(iter(identity.account_ids))
    if not account_id:
        raise Malformed("account_id", "is required for a caller that may act for several accounts.")
    identity.require_account(account_id)
    if account_id not in snapshot.accounts:
        raise NotFound(f"account {account_id[:64]!r}")
    return account_id


def _intent(
    request: policy_service_pb2.SubmitRequest, account_id: str, source: Source, caller: str, test_key: bool
) -> Intent:
    event_type = request.event_type
    if source is not Source.THREECX and not event_type and not request.event_type_text:
        event_type = policy_service_pb2.EVENT_TYPE_OUTBOUND_MESSAGE
    try:
        known = EventType(event_type)
    except ValueError:
        known = EventType.UNSUPPORTED
    return Intent(
        account_id=account_id,
        source=source,
        caller=caller,
        event_type=known,
        event_type_text=_clean(request.event_type_text[:64]),
        integration_id=request.integration_id or None,
        api_key_id=request.api_key_id or None,
        test_key=test_key,
        phone_text=_clean(request.phone),
        text=_clean(request.text),
        purpose_text=_clean(request.purpose),
        conversation_id=_clean(request.conversation_id[:200]),
        agent_extension=_clean(request.agent_extension[:64]),
        queue=_clean(request.queue[:64]),
        call_time=_clean(request.call_time[:64]),
        instance_ref=_clean(request.instance[:200]),
    )


def _clean(text: str) -> str:
    """Text without NUL, which no message can carry and PostgreSQL cannot keep."""
    return text.replace("\x00", "")


def _command(request: policy_service_pb2.SubmitRequest, intent: Intent, scope: str) -> SubmitCommand:
    key = _clean(request.idempotency_key or (f"request:{request.request_id}" if request.request_id else ""))
    if len(key) > _MAX_KEY_CHARACTERS:
        raise Malformed("idempotency_key", f"has at most {_MAX_KEY_CHARACTERS} characters.")
    claimed = request.HasField("signature")
    return SubmitCommand(
        intent=intent,
        key_scope=scope if key else "",
        key=key,
        body_digest=(request.body_digest or _digest(request)) if key else b"",
        claim=request.signature.digest if claimed else b"",
        claim_expires_at=nearest_datetime(request.signature.expires_at) if claimed else None,
        validate_only=request.validate_only,
    )


def _digest(request: policy_service_pb2.SubmitRequest) -> bytes:
    """What tells two requests of an internal service apart; the request id is the key itself."""
    copy = policy_service_pb2.SubmitRequest()
    copy.CopyFrom(request)
    copy.ClearField("request_id")
    copy.ClearField("idempotency_key")
    copy.ClearField("validate_only")
    return sha256(copy.SerializeToString(deterministic=True)).digest()


def threecx_sms_command(
    request: policy_service_pb2.SubmitRequest, identity: Identity, integration: IntegrationConfig, scope: str
) -> tuple[SubmitCommand, int]:
    """A reply that came through an integration's SMS-provider connector, and the connector's requests per minute.

    Its purpose is the connector's, and the number it is sent from names the instance. Raises NotFound if there is no
    connector.
    """
    connector = integration.sms
    if connector is None:
        raise NotFound(f"integration {integration.integration_id!r} has no SMS-provider connector")
    identity.require_account(integration.account_id)
    intent = _intent(request, integration.account_id, Source.THREECX_SMS, identity.name, test_key=False)
    intent = replace(
        intent,
        # The phone system's chat is plain: what agents type there means itself.
        text=as_typed(intent.text),
        purpose_text=connector.default_purpose,
        purpose_defaulted=True,
        attachments=max(request.sms_provider.attachments, 0),
        instance_ref=_instance_behind(request.sms_provider.from_number, integration, connector),
    )
    return _command(request, intent, scope), connector.requests_per_minute


def _instance_behind(written: str, integration: IntegrationConfig, connector: ThreecxSmsConfig) -> str:
    """The instance that a number of the phone system stands for; what is unknown refers to none."""
    number = normalize_phone(written, integration.country or None)
    instance_id = connector.instance_of(number) if number else None
    if instance_id in integration.instance_ids:
        return instance_id
    # No instance has a name that begins with a space.
    return f" {_clean(number or written.strip())[:64]}"
