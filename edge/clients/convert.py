"""Wire messages to the edge's words, and back. Nothing else."""

import math
from dataclasses import replace
from hashlib import sha256
from ipaddress import ip_network

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from edge import model
from edge.refusals import RefusalReport
from hubgate.policy.v1 import decision_pb2, events_pb2, records_pb2
from hubgate.policy.v1 import policy_service_pb2 as wire

_NANOS = 1_000_000_000
_MOST_ATTACHMENTS = 1_000


def timestamp(seconds: float) -> Timestamp:
    """Unix seconds to a Timestamp."""
    whole = math.floor(seconds)
    return Timestamp(seconds=whole, nanos=min(int((seconds - whole) * _NANOS), _NANOS - 1))


def unix_seconds(moment: Timestamp) -> float:
    """A Timestamp to Unix seconds."""
    return moment.seconds + moment.nanos / _NANOS


def set_duration(field: Duration, seconds: float) -> None:
    """Writes seconds into a Duration that stands in a message already."""
    whole, micros = divmod(round(seconds * 1_000_000), 1_000_000)
    field.seconds = whole
    field.nanos = micros * 1_000


def submit_request(submission: model.Submission) -> wire.SubmitRequest:
    """A submission for the wire."""
    request = wire.SubmitRequest(
        idempotency_key=submission.idempotency_key,
        body_digest=submission.body_digest,
        event_type=submission.event_type,  # type: ignore[arg-type]  # a number on the wire, a type in the stubs
        event_type_text=submission.event_type_text,
        phone=submission.phone,
        text=submission.text,
        purpose=submission.purpose,
        conversation_id=submission.conversation_id,
        agent_extension=submission.agent_extension,
        queue=submission.queue,
        call_time=submission.call_time,
        instance=submission.instance,
    )
    if submission.api_key_id:
        request.api_key_id = submission.api_key_id
    else:
        request.integration_id = submission.integration_id
    if submission.signature is not None:
        _fill_signature(request.signature, submission.signature)
    if submission.report is not None:
        request.report.CopyFrom(_crm_report(submission.report))
    if submission.sms is not None:
        request.sms_provider.from_number = submission.sms.from_number
        request.sms_provider.attachments = min(submission.sms.attachments, _MOST_ATTACHMENTS)
    return request


def _crm_report(report: model.CrmReport) -> wire.CrmReport:
    made = wire.CrmReport(call=report.call)  # type: ignore[arg-type]  # as above
    if report.started_at is not None:
        made.started_at.CopyFrom(timestamp(report.started_at))
    return made


def looked_up(response: wire.LookUpContactResponse) -> model.LookedUp:
    """What came of looking up a number."""
    found = response.contact
    wait = response.retry_after.ToTimedelta().total_seconds() if response.HasField("retry_after") else None
    named = response.HasField("contact")
    contact = model.Contact(found.person_id, found.name, found.phone) if named else None
    return model.LookedUp(response.reason, wait, contact)


def _fill_signature(field: wire.SignatureClaim, claim: model.SignatureClaim) -> None:
    # In place: a message made apart would be copied in.
    field.digest = claim.digest
    whole = math.floor(claim.expires_at)
    field.expires_at.seconds = whole
    field.expires_at.nanos = min(int((claim.expires_at - whole) * _NANOS), _NANOS - 1)


def signature_claim(claim: model.SignatureClaim) -> wire.SignatureClaim:
    """A signature claim for the wire."""
    made = wire.SignatureClaim()
    _fill_signature(made, claim)
    return made


def outcome(response: wire.SubmitResponse) -> model.Outcome:
    """What came of a submission."""
    return model.Outcome(
        decision=decision(response.decision),
        message=_fate(response.message) if response.HasField("message") else None,
        duplicate=response.duplicate,
        event_type=response.event_type,
    )


def _fate(found: events_pb2.Message) -> model.MessageFate:
    return model.MessageFate(
        found.message_id, found.state, found.external_message_id, found.error_code, found.error_text
    )


def decision(found: decision_pb2.Decision) -> model.Decision:
    """A decision with its findings."""
    return model.Decision(
        decision_id=found.decision_id,
        log_id=found.log_id,
        verdict=found.verdict,
        reason=found.reason,
        action=found.action,
        findings=tuple([_finding(each) for each in found.findings]),
        risk_score=found.risk_score,
        retry_after_seconds=(
            found.retry_after.seconds + found.retry_after.nanos / _NANOS
            if found.HasField("retry_after")
            else None
        ),
        explanation=found.explanation,
        decided_at=unix_seconds(found.decided_at) if found.HasField("decided_at") else None,
    )


def _finding(found: decision_pb2.Finding) -> model.Finding:
    return model.Finding(
        check=found.check,
        verdict=found.verdict,
        reason=found.reason,
        explanation=found.explanation,
        shadow=found.shadow,
        limit=found.limit if found.HasField("limit") else None,
        used=found.used if found.HasField("used") else None,
        passes_at=unix_seconds(found.passes_at) if found.HasField("passes_at") else None,
        facts=dict(found.facts),
    )


def message(found: events_pb2.Message) -> model.Message:
    """A message, in either direction."""
    return model.Message(
        message_id=found.message_id,
        state=found.state,
        external_message_id=found.external_message_id,
        error_code=found.error_code,
        error_text=found.error_text,
        log_id=found.log_id,
        instance_id=found.instance_id,
        conversation_id=found.conversation_id,
        event_type=found.event_type,
        outbound=found.outbound,
        phone=found.person.phone,
        text=found.text,
        created_at=unix_seconds(found.created_at) if found.HasField("created_at") else None,
        updated_at=unix_seconds(found.updated_at) if found.HasField("updated_at") else None,
    )


def decision_row(found: wire.DecisionRecord) -> model.DecisionRow:
    """A row of the policy log."""
    return model.DecisionRow(
        decision=decision(found.decision),
        account_id=found.account_id,
        integration_id=found.integration_id,
        instance_id=found.instance_id,
        caller=found.caller,
        event_type=found.event_type,
        purpose=found.purpose,
        phone_masked=found.phone_masked,
        message_id=found.message_id,
        message_state=found.message_state,
        conversation_id=found.conversation_id,
    )


def forwarded_event(found: records_pb2.Delivery) -> model.ForwardedEvent:
    """A delivery to 3CX."""
    return model.ForwardedEvent(
        delivery_id=found.delivery_id,
        event_name=found.event_name,
        body_json=found.body_json,
        state=records_pb2.DeliveryState.Name(found.state).removeprefix("DELIVERY_STATE_").lower(),
        attempts=found.attempts,
        integration_id=found.integration_id,
        created_at=unix_seconds(found.created_at) if found.HasField("created_at") else None,
        settled_at=unix_seconds(found.settled_at) if found.HasField("settled_at") else None,
    )


def credential_snapshot(found: wire.WatchCredentialsResponse) -> model.CredentialSnapshot:
    """A whole set of credentials."""
    return model.CredentialSnapshot(
        version=found.version,
        integrations={each.integration_id: _integration_key(each) for each in found.integrations},
        api_keys={
            each.key_digest: model.ApiKey(each.api_key_id, each.account_id, each.revoked, each.test)
            for each in found.api_keys
        },
        instances={each.instance_id: _instance_key(each) for each in found.instances},
        sms_integrations={
            each.integration_id: _sms_integration(each) for each in found.integrations if each.sms_keys
        },
    )


def _integration_key(found: wire.IntegrationCredential) -> model.IntegrationKey:
    networks: list[model.Network] = []
    unreadable = False
    for written in found.allowed_addresses:
        try:
            networks.append(ip_network(written.strip(), strict=False))
        except ValueError:
            # An entry nobody can read must not widen the list: with it alone, every address is refused.
            unreadable = True
    return model.IntegrationKey(
        integration_id=found.integration_id,
        account_id=found.account_id,
        enabled=found.enabled,
        secrets=tuple(_secret(each) for each in found.secrets if each.secret),
        signature_required=found.signature_required,
        networks=tuple(networks),
        unreadable_networks=unreadable,
        query_token_enabled=found.query_token_enabled,
    )


def _sms_integration(found: wire.IntegrationCredential) -> model.IntegrationKey:
    """The same integration, whose callers show a bearer key and sign nothing."""
    keys = [
        model.Secret(
            each.key_id,
            b"",
            each.key_digest,
            unix_seconds(each.valid_until) if each.HasField("valid_until") else None,
        )
        for each in found.sms_keys
    ]
    return replace(_integration_key(found), secrets=tuple(keys), signature_required=False)


def _secret(found: wire.SecretCredential) -> model.Secret:
    text = found.secret.encode()
    until = unix_seconds(found.valid_until) if found.HasField("valid_until") else None
    return model.Secret(secret_id=found.secret_id, text=text, digest=sha256(text).digest(), valid_until=until)


def _instance_key(found: wire.InstanceCredential) -> model.InstanceKey:
    return model.InstanceKey(
        instance_id=found.instance_id,
        account_id=found.account_id,
        backend=found.backend,
        webhook_secret=found.webhook_secret,
        verify_token=found.verify_token,
        external_name=found.external_name,
        enabled=found.enabled,
        former_webhook_secret=_former(found.previous_webhook_secret),
        former_verify_token=_former(found.previous_verify_token),
    )


def _former(found: wire.SecretCredential) -> model.Secret | None:
    return _secret(found) if found.secret and found.HasField("valid_until") else None


def refusal_request(report: RefusalReport) -> wire.RecordRefusalsRequest:
    """Refusals and uses for the wire."""
    return wire.RecordRefusalsRequest(
        refusals=[
            wire.Refusal(
                minute=timestamp(kind.minute),
                surface=kind.surface,
                target=kind.target,
                reason=kind.reason,
                source_address=kind.source,
                count=count,
            )
            for kind, count in report.counts.items()
        ],
        uses=[
            wire.CredentialUse(credential_id=credential_id, used_at=timestamp(used_at))
            for credential_id, used_at in report.uses.items()
        ],
    )
