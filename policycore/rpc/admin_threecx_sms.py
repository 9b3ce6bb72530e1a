"""Owns the part of the AdminService for SMS-provider connectors; wire <-> registry."""

from typing import Any

from hubgate.policy.v1 import threecx_sms_pb2 as pb
from policycore.registry.registry import Registry
from policycore.registry.rows import SmsKeyRow
from policycore.registry.threecx_sms import ThreecxSmsView
from policycore.rpc.admin_calls import Readers, answered, plain, read_named, read_span, set_moment
from policycore.rpc.identity import current_identity

_FIELDS: Readers[pb.ThreecxSms] = {
    **plain("webhook_url", "default_purpose", "gateway_lines", "receipts", "requests_per_minute"),
    "numbers": lambda wire: {"numbers": tuple((each.instance_id, each.number) for each in wire.numbers)},
}


def sms_path(integration_id: str) -> str:
    """Where 3CX posts what agents write."""
    return f"/integrations/3cx/sms/{integration_id}"


class ThreecxSmsMethods:
    """SMS-provider connectors of integrations."""

    _registry: Registry

    @answered
    async def GetThreecxSms(self, request: pb.GetThreecxSmsRequest, context: Any) -> pb.GetThreecxSmsResponse:
        view = await self._registry.threecx_sms.get(current_identity(), request.integration_id)
        return pb.GetThreecxSmsResponse(settings=_to_wire(view))

    @answered
    async def SetThreecxSms(self, request: pb.SetThreecxSmsRequest, context: Any) -> pb.SetThreecxSmsResponse:
        values = read_named(request.settings, request.fields, _FIELDS)
        view = await self._registry.threecx_sms.set(
            current_identity(), request.settings.integration_id, values
        )
        return pb.SetThreecxSmsResponse(settings=_to_wire(view))

    @answered
    async def RotateThreecxSmsKey(
        self, request: pb.RotateThreecxSmsKeyRequest, context: Any
    ) -> pb.RotateThreecxSmsKeyResponse:
        overlap = read_span("overlap", request.overlap) if request.HasField("overlap") else None
        made = await self._registry.threecx_sms.rotate_key(
            current_identity(), request.integration_id, overlap
        )
        wire = pb.RotateThreecxSmsKeyResponse(key=made.secret, key_id=made.secret_id)
        set_moment(wire.old_valid_until, made.old_valid_until)
        return wire


def _to_wire(view: ThreecxSmsView) -> pb.ThreecxSms:
    row = view.row
    return pb.ThreecxSms(
        integration_id=row.integration_id,
        webhook_url=view.webhook_url,
        numbers=[
            pb.ThreecxSmsNumber(instance_id=instance_id, number=number)
            for instance_id, number in sorted(view.numbers.items())
        ],
        default_purpose=row.default_purpose,
        gateway_lines=row.gateway_lines,
        receipts=row.receipts,
        requests_per_minute=row.requests_per_minute,
        path=sms_path(row.integration_id),
        keys=[_key_to_wire(each) for each in view.keys],
    )


def _key_to_wire(row: SmsKeyRow) -> pb.ThreecxSmsKey:
    wire = pb.ThreecxSmsKey(key_id=row.id, prefix=row.prefix)
    set_moment(wire.created_at, row.created_at)
    set_moment(wire.valid_until, row.valid_until)
    set_moment(wire.last_used_at, row.last_used_at)
    return wire
