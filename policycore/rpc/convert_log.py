"""Rows of the policy log and of the event stream: model -> wire."""

from hubgate.policy.v1 import events_pb2, policy_service_pb2
from policycore.reading import StoredEvent
from policycore.registry.log_rows import DecisionRecord
from policycore.rpc.convert import decision_to_wire, message_to_wire
from policycore.rpc.times import to_timestamp


def record_to_wire(record: DecisionRecord) -> policy_service_pb2.DecisionRecord:
    """One row of the policy log, with every finding."""
    decision = decision_to_wire(record.decision, record.decision_id, record.log_id, every_finding=True)
    decision.decided_at.CopyFrom(to_timestamp(record.decided_at))
    return policy_service_pb2.DecisionRecord(
        decision=decision,
        account_id=record.account_id,
        integration_id=record.integration_id or "",
        instance_id=record.instance_id or "",
        caller=record.caller,
        event_type=int(record.event_type),  # type: ignore[arg-type]
        purpose=record.purpose,
        phone_masked=record.phone_masked,
        message_id=record.message_id or "",
        inputs_json=record.inputs_json,
        conversation_id=record.conversation_id,
        message_state=int(record.message_state) if record.message_state else 0,  # type: ignore[arg-type]
    )


def event_to_wire(event: StoredEvent, *, reveal: bool) -> events_pb2.MessageEvent:
    """One row of the event stream."""
    return events_pb2.MessageEvent(
        sequence=event.sequence,
        occurred_at=to_timestamp(event.occurred_at),
        event_name=event.event_name,
        message=message_to_wire(event.message, reveal=reveal),
    )
