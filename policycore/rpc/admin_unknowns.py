"""Owns the AdminService's part about messages with an unknown outcome: wire <-> use case."""

from typing import Any

from hubgate.policy.v1 import records_pb2 as pb
from policycore.errors import Malformed
from policycore.reconciliation import SETTLE_AFTER, PersonsFinding
from policycore.registry.registry import Registry
from policycore.rpc.admin_calls import answered, read_page, set_moment
from policycore.rpc.convert import message_to_wire
from policycore.rpc.identity import current_identity
from policycore.unknown_ledger import UnknownRow

_FINDINGS = {int(finding): finding for finding in PersonsFinding}


class UnknownMethods:
    """Messages of which nobody knows whether they left."""

    _registry: Registry

    @answered
    async def ListUnknownMessages(
        self, request: pb.ListUnknownMessagesRequest, context: Any
    ) -> pb.ListUnknownMessagesResponse:
        page = await self._registry.unknowns.page(
            current_identity(),
            request.account_id,
            request.instance_id,
            read_page(request),
            ripe_only=request.ripe_only,
        )
        rows = [_to_wire(row) for row in page.rows]
        return pb.ListUnknownMessagesResponse(messages=rows, next_page_token=page.next_token)

    @answered
    async def SettleMessage(self, request: pb.SettleMessageRequest, context: Any) -> pb.SettleMessageResponse:
        finding = _FINDINGS.get(int(request.finding))
        if finding is None:
            raise Malformed("finding", "must say whether the message was sent.")
        view = await self._registry.unknowns.settle(
            current_identity(), request.message_id, finding, request.reason
        )
        return pb.SettleMessageResponse(message=message_to_wire(view, reveal=False))


def _to_wire(row: UnknownRow) -> pb.UnknownMessage:
    wire = pb.UnknownMessage(
        message=message_to_wire(row.view, reveal=False), looks=row.looks, last_look=row.last_look
    )
    set_moment(wire.unknown_since, row.unknown_since)
    set_moment(wire.settle_from, row.unknown_since + SETTLE_AFTER)
    set_moment(wire.next_look_at, row.next_look_at)
    return wire
