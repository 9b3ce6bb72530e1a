"""Owns the part of the AdminService that walks through 3CX connections: wire <-> registry."""

from typing import Any

from hubgate.policy.v1 import connection_check_pb2 as pb
from policycore.connection_facts import CheckOrder
from policycore.connection_steps import problem
from policycore.registry.registry import Registry
from policycore.rpc.failures import answering
from policycore.rpc.identity import current_identity


class ConnectionMethods:
    """Checks of connections."""

    _registry: Registry

    async def CheckIntegration(
        self, request: pb.CheckIntegrationRequest, context: Any
    ) -> pb.CheckIntegrationResponse:
        # Never done a second time by itself, as other methods are: it may send.
        async with answering(context):
            order = CheckOrder(
                request.integration_id,
                request.public_url.strip(),
                request.test_phone.strip(),
                request.send_test,
                request.language,
            )
            steps = list(await self._registry.connections.walk(current_identity(), order))
            found = problem(steps)
            wire = pb.CheckIntegrationResponse(healthy=not found, problem=found)
            for step in steps:
                wire.steps.add(
                    name=step.name, state=pb.CheckState.ValueType(step.state), sentence=step.sentence
                )
            return wire
        raise AssertionError("answering always ends the call")
