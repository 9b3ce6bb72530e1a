"""Owns the records of the AdminService: logs, deliveries and the state of the system; wire <-> registry."""

from typing import Any

from hubgate.policy.v1 import policy_service_pb2
from hubgate.policy.v1 import records_pb2 as pb
from policycore.registry.log import DecisionQuery, DeliveryQuery, MessageQuery
from policycore.registry.log_rows import AuditRow, DeliveryRow, RefusalRow
from policycore.registry.pages import PageRequest
from policycore.registry.registry import Registry
from policycore.rpc.admin_calls import answered, read_page, set_moment
from policycore.rpc.admin_controls import read_person
from policycore.rpc.admin_instances import instance_to_wire
from policycore.rpc.convert import message_to_wire
from policycore.rpc.convert_log import record_to_wire
from policycore.rpc.identity import current_identity

_BY_NUMBER = (int,)
_BY_REFUSAL = (int, str, str, str, str)
_MOST_INSTANCES = 1000

_STATES = {
    "pending": pb.DELIVERY_STATE_PENDING,
    "sent": pb.DELIVERY_STATE_SENT,
    "failed": pb.DELIVERY_STATE_FAILED,
    "blocked": pb.DELIVERY_STATE_BLOCKED,
    "discarded": pb.DELIVERY_STATE_DISCARDED,
}
_STATE_NAMES = {number: name for name, number in _STATES.items()}


class RecordMethods:
    """Logs, deliveries and the state of the system."""

    _registry: Registry

    @answered
    async def ListDecisions(self, request: pb.ListDecisionsRequest, context: Any) -> pb.ListDecisionsResponse:
        query = DecisionQuery(
            account_id=request.account_id,
            integration_id=request.integration_id,
            instance_id=request.instance_id,
            person=read_person(request.person) if request.HasField("person") else None,
            reason=int(request.reason),
            verdict=int(request.verdict),
        )
        page = await self._registry.log.decisions(current_identity(), query, read_page(request, _BY_NUMBER))
        records = [record_to_wire(record) for record in page.rows]
        return pb.ListDecisionsResponse(records=records, next_page_token=page.next_token)

    @answered
    async def ListMessages(self, request: pb.ListMessagesRequest, context: Any) -> pb.ListMessagesResponse:
        query = MessageQuery(
            account_id=request.account_id,
            instance_id=request.instance_id,
            person=read_person(request.person) if request.HasField("person") else None,
            state=int(request.state),
            reveal=request.reveal,
        )
        page = await self._registry.log.messages(current_identity(), query, read_page(request))
        messages = [message_to_wire(view, reveal=request.reveal) for view in page.rows]
        return pb.ListMessagesResponse(messages=messages, next_page_token=page.next_token)

    @answered
    async def ListDeliveries(
        self, request: pb.ListDeliveriesRequest, context: Any
    ) -> pb.ListDeliveriesResponse:
        query = DeliveryQuery(
            account_id=request.account_id,
            integration_id=request.integration_id,
            instance_id=request.instance_id,
            webhook_id=request.webhook_id,
            delivery_id=request.delivery_id,
            state=_STATE_NAMES.get(request.state, ""),
            reveal=request.reveal,
        )
        page = await self._registry.log.deliveries(current_identity(), query, read_page(request, _BY_NUMBER))
        deliveries = [_delivery_to_wire(row, reveal=request.reveal) for row in page.rows]
        return pb.ListDeliveriesResponse(deliveries=deliveries, next_page_token=page.next_token)

    @answered
    async def ReplayDelivery(
        self, request: pb.ReplayDeliveryRequest, context: Any
    ) -> pb.ReplayDeliveryResponse:
        row = await self._registry.log.replay(current_identity(), request.delivery_id)
        return pb.ReplayDeliveryResponse(delivery=_delivery_to_wire(row, reveal=False))

    @answered
    async def DiscardDelivery(
        self, request: pb.DiscardDeliveryRequest, context: Any
    ) -> pb.DiscardDeliveryResponse:
        row = await self._registry.log.discard(current_identity(), request.delivery_id, request.reason)
        return pb.DiscardDeliveryResponse(delivery=_delivery_to_wire(row, reveal=False))

    @answered
    async def ListRefusals(self, request: pb.ListRefusalsRequest, context: Any) -> pb.ListRefusalsResponse:
        page = await self._registry.log.refusals(
            current_identity(), request.target, read_page(request, _BY_REFUSAL)
        )
        refusals = [_refusal_to_wire(row) for row in page.rows]
        return pb.ListRefusalsResponse(refusals=refusals, next_page_token=page.next_token)

    @answered
    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: Any
    ) -> pb.ListAuditEntriesResponse:
        page = await self._registry.log.audit_entries(
            current_identity(), request.account_id, read_page(request, _BY_NUMBER)
        )
        entries = [_audit_to_wire(row) for row in page.rows]
        return pb.ListAuditEntriesResponse(entries=entries, next_page_token=page.next_token)

    @answered
    async def GetSystemState(
        self, request: pb.GetSystemStateRequest, context: Any
    ) -> pb.GetSystemStateResponse:
        caller = current_identity()
        caller.require_platform()
        state = await self._registry.system.look()
        instances = await self._registry.instances.page(caller, "", "", PageRequest(_MOST_INSTANCES))
        wire = pb.GetSystemStateResponse(
            components=[
                pb.ComponentState(name=part.name, healthy=part.healthy, explanation=part.explanation)
                for part in state.components
            ],
            version=state.version,
            schema_revision=state.schema_revision,
            instances=[
                instance_to_wire(row, self._registry.holds.hold(row.id, only_looking=True))
                for row in instances.rows
            ],
        )
        set_moment(wire.database_time, state.database_time)
        return wire


def _delivery_to_wire(row: DeliveryRow, *, reveal: bool) -> pb.Delivery:
    wire = pb.Delivery(
        delivery_id=row.id,
        account_id=row.account_id,
        integration_id=row.integration_id or "",
        webhook_id=row.webhook_id or "",
        instance_id=row.instance_id or "",
        event_name=row.event_name,
        body_json=row.body if reveal else "",
        state=_STATES.get(row.state, pb.DELIVERY_STATE_UNSPECIFIED),
        attempts=row.attempts,
        last_http_status=row.last_http_status,
        last_error=row.last_error,
    )
    if row.state == "pending":
        set_moment(wire.next_attempt_at, row.next_attempt_at)
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.settled_at, row.settled_at)
    return wire


def _refusal_to_wire(row: RefusalRow) -> policy_service_pb2.Refusal:
    wire = policy_service_pb2.Refusal(
        surface=row.surface,
        target=row.target,
        reason=row.reason,
        source_address=row.source_address,
        count=row.count,
    )
    set_moment(wire.minute, row.minute)
    return wire


def _audit_to_wire(row: AuditRow) -> pb.AuditEntry:
    wire = pb.AuditEntry(
        entry_id=row.id,
        actor=row.actor,
        act=row.act,
        target=row.target,
        account_id=row.account_id or "",
        detail_json=row.detail_json,
    )
    set_moment(wire.occurred_at, row.occurred_at)
    return wire
