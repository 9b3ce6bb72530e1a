"""Every caller calls every RPC, and is let through exactly where the literal table below says so."""

import asyncio
from typing import Any

import grpc
import pytest

from hubgate.policy.v1 import (
    accounts_pb2,
    admin_service_pb2,
    policy_service_pb2,
)
from support.admin_core import ADMIN_TOKEN, EDGE_TOKEN, AdminCore, Caller, error_info

POLICY = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]
ADMIN = admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"]
METHODS = {method.name: method for method in (*POLICY.methods, *ADMIN.methods)}
ADMIN_RPCS = {method.name for method in ADMIN.methods}

SUBMIT_GROUP = {"Submit", "SubmitStream", "GetMessage"}
READ_GROUP = {
    "GetMessage", "WatchEvents", "Explain", "ListDecisions", "ListMessages", "ListDeliveries",
    "ListSuppressions", "ListPauses", "ListInstances", "ListIntegrations",
}  # fmt: skip
EXPECTED: dict[str, set[str]] = {
    "edge": {
        "Submit", "SubmitStream", "AdmitRequest", "LookUpContact", "RecordEvents", "GetMessage",
        "WatchEvents", "WatchCredentials", "RecordRefusals", "ListMessages", "ListDeliveries",
    },
    "admin": ADMIN_RPCS | {"Submit", "Explain", "GetMessage", "WatchEvents"},
    "service: submit": SUBMIT_GROUP,
    "service: read": READ_GROUP,
    "service: admin": ADMIN_RPCS | {"Explain", "GetMessage", "WatchEvents"},
    "service: one RPC": {"Explain"},
}  # fmt: skip
RIGHTS = {"service: submit": ["submit"], "service: read": ["read"], "service: admin": ["admin"]}
RIGHTS["service: one RPC"] = ["Explain"]


def _request(rpc: str) -> Any:
    name = METHODS[rpc].input_type.name
    modules = (policy_service_pb2, accounts_pb2)
    for module in modules:
        if hasattr(module, name):
            return getattr(module, name)()
    import importlib

    parts = (
        "instances",
        "integrations",
        "business_hours",
        "connection_check",
        "controls",
        "records",
        "threecx_sms",
        "threecx_api",
    )
    for part in parts:
        module = importlib.import_module(f"hubgate.policy.v1.{part}_pb2")
        if hasattr(module, name):
            return getattr(module, name)()
    raise AssertionError(name)


async def _code(caller: Caller, rpc: str) -> tuple[str, str, str]:
    """What the call ends with: code, reason, field."""
    method, shape = caller.method(rpc), METHODS[rpc]
    request: Any = iter([_request(rpc)]) if shape.client_streaming else _request(rpc)
    call = method(request, metadata=caller.metadata, timeout=10)
    try:
        if shape.server_streaming:
            async for _ in call:
                pass
        else:
            await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return "UNIMPLEMENTED", "", ""
        return error_info(error)
    return "OK", "", ""


async def _make_callers(core: AdminCore) -> dict[str, Caller]:
    callers = {"edge": core.caller(EDGE_TOKEN), "admin": core.caller(ADMIN_TOKEN)}
    for name, rights in RIGHTS.items():
        made = await core.admin(
            "CreateServiceToken",
            accounts_pb2.CreateServiceTokenRequest(name=name, rights=rights, account_ids=["*"]),
        )
        callers[name] = core.caller(made.token)
    await core.snapshot()
    return callers


def test_the_table_names_every_rpc_at_least_once() -> None:
    assert set().union(*EXPECTED.values()) == set(METHODS)


async def test_every_caller_and_every_rpc(sqlite_core: AdminCore) -> None:
    callers = await _make_callers(sqlite_core)
    wrong = []
    for name, caller in callers.items():
        for rpc in METHODS:
            code, reason, _ = await _code(caller, rpc)
            refused = (code, reason) == ("PERMISSION_DENIED", "PERMISSION_DENIED")
            if refused == (rpc in EXPECTED[name]) or code in {"UNAUTHENTICATED", "INTERNAL", "UNKNOWN"}:
                wrong.append((name, rpc, code, reason))
    assert wrong == []


@pytest.mark.parametrize(
    "token", [None, "", "nonsense", "hgs_" + "A" * 43, EDGE_TOKEN + "x", EDGE_TOKEN[:-1]]
)
async def test_without_a_token_nothing_is_to_be_had(sqlite_core: AdminCore, token: str | None) -> None:
    caller = sqlite_core.caller(token)
    for rpc in METHODS:
        assert await _code(caller, rpc) == ("UNAUTHENTICATED", "UNAUTHENTICATED", ""), rpc


async def test_an_unknown_method_tells_strangers_nothing(sqlite_core: AdminCore) -> None:
    method = sqlite_core.channel.unary_unary("/hubgate.policy.v1.PolicyService/Nothing", None, None)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await method(b"", metadata=sqlite_core.admin.metadata)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_revoked_token_is_refused_and_its_streams_end(sqlite_core: AdminCore) -> None:
    callers = await _make_callers(sqlite_core)
    reader = callers["service: read"]
    assert (await _code(reader, "ListInstances"))[0] == "OK"
    await sqlite_core.admin(
        "RevokeServiceToken", accounts_pb2.RevokeServiceTokenRequest(token_id="service: read")
    )
    await sqlite_core.snapshot()
    assert (await _code(reader, "ListInstances"))[0] == "UNAUTHENTICATED"


async def test_uses_of_service_tokens_are_noted_once(sqlite_core: AdminCore) -> None:
    callers = await _make_callers(sqlite_core)
    assert sqlite_core.interceptor.take_uses() == {}
    await asyncio.gather(*(_code(callers["service: read"], "ListInstances") for _ in range(3)))
    uses = sqlite_core.interceptor.take_uses()
    assert [token_id[:4] for token_id in uses] == ["tok_"]
    assert sqlite_core.interceptor.take_uses() == {}
