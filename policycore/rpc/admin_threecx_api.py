"""Owns the part of the AdminService that concerns phone systems' APIs; wire <-> registry."""

from typing import Any

from hubgate.policy.v1 import threecx_api_pb2 as pb
from policycore.registry.registry import Registry
from policycore.registry.threecx_api import DEFAULT_CATCH_UP, ThreecxApiView
from policycore.rpc.admin_calls import answered, read_span, set_moment
from policycore.rpc.identity import current_identity
from policycore.rpc.times import to_duration


class ThreecxApiMethods:
    """Settings of phone systems' APIs, how watching goes, and what can be read of them."""

    _registry: Registry

    @answered
    async def GetThreecxApi(self, request: pb.GetThreecxApiRequest, context: Any) -> pb.GetThreecxApiResponse:
        view = await self._registry.threecx_apis.get(current_identity(), request.integration_id)
        return pb.GetThreecxApiResponse(api=_to_wire(view))

    @answered
    async def SetThreecxApi(self, request: pb.SetThreecxApiRequest, context: Any) -> pb.SetThreecxApiResponse:
        api = request.api
        values = {
            "base_url": api.base_url,
            "client_id": api.client_id,
            "missed_calls": api.missed_calls,
            "who_replied": api.who_replied,
            "webhook_discovery": api.webhook_discovery,
            "every_extension_listed": api.every_extension_listed,
            "catch_up": read_span("api.catch_up", api.catch_up)
            if api.HasField("catch_up")
            else DEFAULT_CATCH_UP,
        }
        view = await self._registry.threecx_apis.set(
            current_identity(), api.integration_id, values, request.client_secret
        )
        return pb.SetThreecxApiResponse(api=_to_wire(view))

    @answered
    async def RemoveThreecxApi(
        self, request: pb.RemoveThreecxApiRequest, context: Any
    ) -> pb.RemoveThreecxApiResponse:
        await self._registry.threecx_apis.remove(current_identity(), request.integration_id)
        return pb.RemoveThreecxApiResponse()

    @answered
    async def GetThreecxApiState(
        self, request: pb.GetThreecxApiStateRequest, context: Any
    ) -> pb.GetThreecxApiStateResponse:
        state = await self._registry.threecx_apis.state(current_identity(), request.integration_id)
        wire = pb.GetThreecxApiStateResponse(state=state.state, reason=state.reason, untold=state.untold)
        set_moment(wire.since, state.since)
        set_moment(wire.known_until, state.known_until)
        set_moment(wire.last_missed_at, state.last_missed_at)
        return wire

    @answered
    async def DiscoverThreecxWebhooks(
        self, request: pb.DiscoverThreecxWebhooksRequest, context: Any
    ) -> pb.DiscoverThreecxWebhooksResponse:
        trunks, failure = await self._registry.threecx_apis.discover(
            current_identity(), request.integration_id, reveal=request.reveal
        )
        found = [
            pb.ThreecxTrunk(
                number=trunk.number,
                name=trunk.name,
                provider=trunk.provider,
                enabled=trunk.enabled,
                webhook_url=trunk.webhook_url,
                did_numbers=trunk.did_numbers,
            )
            for trunk in trunks
        ]
        return pb.DiscoverThreecxWebhooksResponse(trunks=found, failure=failure)


def _to_wire(view: ThreecxApiView) -> pb.ThreecxApi:
    wire = pb.ThreecxApi(
        integration_id=view.integration_id,
        base_url=view.base_url,
        client_id=view.client_id,
        missed_calls=view.missed_calls,
        who_replied=view.who_replied,
        webhook_discovery=view.webhook_discovery,
        every_extension_listed=view.every_extension_listed,
        catch_up=to_duration(view.catch_up.total_seconds()),
    )
    set_moment(wire.changed_at, view.changed_at)
    return wire
