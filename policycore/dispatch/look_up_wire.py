"""Looks for messages to the sender's wire types and back; nothing else."""

from datetime import UTC

from hubgate.sender.v1 import sender_service_pb2 as pb
from policycore.dispatch.sender_wire import fill_connection, fill_timestamp
from policycore.reconciliation import FoundMessage, UnknownMessage
from policycore.registry.snapshot import InstanceConfig
from policycore.unknown_ledger import Look, LookOutcome

_OUTCOMES = {int(outcome): outcome for outcome in LookOutcome}
_KINDS = frozenset({"accepted", "sent", "delivered", "read", "failed"})
_LONGEST_ID = 300
_LATEST_SECOND = 253_402_300_799


def look_up_to(message: UnknownMessage, instance: InstanceConfig) -> pb.LookUpMessageRequest:
    """One look."""
    wire = pb.LookUpMessageRequest()
    fill_connection(wire.connection, instance)
    wire.recipient.phone = message.phone
    wire.recipient.lid = message.lid
    wire.recipient.business_scoped_id = message.bsuid
    wire.content.text = message.text
    fill_timestamp(wire.since, message.since)
    return wire


def look_from(response: pb.LookUpMessageResponse) -> Look:
    """What a look showed. One that cannot be understood showed nothing: another one may."""
    outcome = _OUTCOMES.get(int(response.outcome), LookOutcome.FAILED)
    if any(
        each.kind not in _KINDS
        or not 0 < len(each.external_message_id) <= _LONGEST_ID
        or "\x00" in each.external_message_id
        or not 0 <= each.sent_at.seconds <= _LATEST_SECOND
        for each in response.found
    ):
        return Look(LookOutcome.FAILED, "not_understood")
    found = tuple(
        FoundMessage(each.external_message_id, each.sent_at.ToDatetime(UTC), each.kind)
        for each in response.found
    )
    return Look(outcome, response.reason.replace("\x00", "")[:64], found)
