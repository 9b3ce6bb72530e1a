"""Owns the instance part of the AdminService: wire <-> registry."""

from typing import Any

from hubgate.policy.v1 import events_pb2
from hubgate.policy.v1 import instances_pb2 as pb
from policycore.ports import InstanceHold
from policycore.registry.registry import Registry
from policycore.registry.rows import InstanceRow
from policycore.rpc.admin_calls import (
    Readers,
    answered,
    optional,
    plain,
    read_all,
    read_named,
    read_page,
    read_span,
    set_moment,
)
from policycore.rpc.identity import current_identity

_FIELDS: Readers[pb.Instance] = {
    **plain("name", "backend", "base_url", "external_name", "api_token", "webhook_secret", "verify_token"),
    **plain("phone"),
    **optional("messages_per_second", "burst"),
}

_STATES = {
    "open": events_pb2.INSTANCE_STATE_OPEN,
    "connecting": events_pb2.INSTANCE_STATE_CONNECTING,
    "close": events_pb2.INSTANCE_STATE_CLOSE,
}


class InstanceMethods:
    """WhatsApp instances."""

    _registry: Registry

    @answered
    async def CreateInstance(
        self, request: pb.CreateInstanceRequest, context: Any
    ) -> pb.CreateInstanceResponse:
        row = await self._registry.instances.create(
            current_identity(), request.instance.account_id, read_all(request.instance, _FIELDS)
        )
        return pb.CreateInstanceResponse(instance=self._shown(row))

    @answered
    async def UpdateInstance(
        self, request: pb.UpdateInstanceRequest, context: Any
    ) -> pb.UpdateInstanceResponse:
        values = read_named(request.instance, request.fields, _FIELDS)
        overlap = read_span("secret_overlap", request.secret_overlap)
        row = await self._registry.instances.update(
            current_identity(), request.instance.instance_id, values, overlap
        )
        return pb.UpdateInstanceResponse(instance=self._shown(row))

    @answered
    async def ListInstances(self, request: pb.ListInstancesRequest, context: Any) -> pb.ListInstancesResponse:
        page = await self._registry.instances.page(
            current_identity(), request.account_id, request.instance_id, read_page(request)
        )
        instances = [self._shown(row) for row in page.rows]
        return pb.ListInstancesResponse(instances=instances, next_page_token=page.next_token)

    @answered
    async def ProbeInstance(self, request: pb.ProbeInstanceRequest, context: Any) -> pb.ProbeInstanceResponse:
        row, problem = await self._registry.instances.probe(current_identity(), request.instance_id)
        return pb.ProbeInstanceResponse(instance=self._shown(row), error_text=problem)

    def _shown(self, row: InstanceRow) -> pb.Instance:
        return instance_to_wire(row, self._registry.holds.hold(row.id, only_looking=True))


def instance_to_wire(row: InstanceRow, hold: InstanceHold | None) -> pb.Instance:
    """An instance, without its secrets, and with what holds it back now."""
    wire = pb.Instance(
        instance_id=row.id,
        account_id=row.account_id,
        name=row.name,
        backend=row.backend,
        base_url=row.base_url,
        external_name=row.external_name,
        state=_STATES.get(row.state, events_pb2.INSTANCE_STATE_UNSPECIFIED),
        state_reason=row.state_reason,
        phone=row.phone,
        webhook_path=f"/webhooks/whatsapp/{row.backend}/{row.id}",
    )
    if row.messages_per_second is not None:
        wire.messages_per_second = row.messages_per_second
    if row.burst is not None:
        wire.burst = row.burst
    set_moment(wire.state_changed_at, row.state_changed_at)
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.unacknowledged_since, row.unacknowledged_since)
    set_moment(wire.held_until, row.held_until)
    if hold is not None:
        wire.held_back = hold.sentence
    return wire
