"""Owns the part of the AdminService that keeps business hours: wire <-> registry."""

from typing import Any

from hubgate.policy.v1 import business_hours_pb2 as pb
from policycore.registry.business_hours import BusinessHours
from policycore.registry.registry import Registry
from policycore.rpc.admin_calls import answered, set_moment
from policycore.rpc.identity import current_identity


class BusinessHoursMethods:
    """Calendars of integrations."""

    _registry: Registry

    @answered
    async def GetBusinessHours(
        self, request: pb.GetBusinessHoursRequest, context: Any
    ) -> pb.GetBusinessHoursResponse:
        found = await self._registry.business_hours.get(current_identity(), request.integration_id)
        return pb.GetBusinessHoursResponse(hours=_to_wire(found))

    @answered
    async def UpdateBusinessHours(
        self, request: pb.UpdateBusinessHoursRequest, context: Any
    ) -> pb.UpdateBusinessHoursResponse:
        kept = await self._registry.business_hours.put(
            current_identity(), request.integration_id, request.calendar_json
        )
        return pb.UpdateBusinessHoursResponse(hours=_to_wire(kept))


def _to_wire(found: BusinessHours) -> pb.BusinessHours:
    wire = pb.BusinessHours(calendar_json=found.calendar_json, is_open=found.is_open)
    set_moment(wire.changes_at, found.changes_at)
    return wire
