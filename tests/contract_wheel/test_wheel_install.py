"""The contracts as another product meets them: a wheel in an empty environment, without this repository.

It calls the real policy core, and a stand-in for what that one cannot say: a reason of a later version.
"""

import asyncio
import importlib.metadata
import json
import pathlib
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest

from hubgate.policy.v1 import (
    accounts_pb2,
    decision_pb2,
    policy_service_pb2,
    reasons_pb2,
)
from support.gateway import CoreClient, Gateway

_REPOSITORY = pathlib.Path(__file__).parents[2]
_TOKEN = "hgs_a-token-for-this-test-only"
_UNKNOWN_REASON = 9999

# What another product would write. Run with -I: neither the current folder nor PYTHONPATH is searched.
_CLIENT = """
import importlib.util, json, sys
import grpc
from hubgate.policy.v1 import policy_service_pb2, policy_service_pb2_grpc, reasons_pb2

address, token, log_id = sys.argv[1:]
with grpc.insecure_channel(address) as channel:
    stub = policy_service_pb2_grpc.PolicyServiceStub(channel)
    try:
        answer = stub.Explain(
            policy_service_pb2.ExplainRequest(log_id=int(log_id)),
            metadata=[("authorization", f"Bearer {token}")],
            timeout=10,
        )
    except grpc.RpcError as error:
        outcome = {"code": error.code().name}
    else:
        decision = answer.record.decision
        known = decision.reason in reasons_pb2.ReasonCode.values()
        outcome = {
            "code": "OK",
            "log_id": decision.log_id,
            "verdict": reasons_pb2.Verdict.Name(decision.verdict),
            "word": reasons_pb2.ReasonCode.Name(decision.reason) if known
            else reasons_pb2.Verdict.Name(decision.verdict),
        }
outcome["code_from"] = policy_service_pb2.__file__
outcome["strangers"] = [n for n in ("edge", "policycore", "sender", "cli") if importlib.util.find_spec(n)]
print(json.dumps(outcome))
"""

# The last line is wrong on purpose: strict mypy would call the ignore unused if it did not see the types.
_TYPED_CLIENT = """
from hubgate.policy.v1 import policy_service_pb2, reasons_pb2

request = policy_service_pb2.ExplainRequest(log_id=7)
number: int = request.log_id
verdict: reasons_pb2.Verdict.ValueType = reasons_pb2.VERDICT_DENY
request.log_number  # type: ignore[attr-defined]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The wheel, built without network from a copy, so that nothing is left in the source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(_REPOSITORY / "proto", folder / "proto", ignore=shutil.ignore_patterns("__pycache__"))
    _run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--wheel-dir", str(folder / "dist"), str(folder / "proto")),
    )
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def empty_python(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Python of a new environment with the wheel, its extra `types`, what these require, and nothing else."""
    folder = tmp_path_factory.mktemp("empty") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    _run(
        *(
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--python",
            str(python),
            "install",
            "--no-deps",
            "--no-index",
        ),
        str(wheel),
    )
    (packages,) = folder.glob("lib/python*/site-packages")
    for requirement in _requirements(wheel):
        _lend(requirement, packages)
    return python


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout


def _requirements(wheel: pathlib.Path) -> list[str]:
    """Names of the packages the wheel requires, and of those that these require in turn."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    waiting = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    assert waiting
    found: list[str] = []
    while waiting:
        requirement, _, condition = waiting.pop().partition(";")
        package = re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0]
        if package not in found and condition.strip() in ("", 'extra == "types"'):
            found.append(package)
            waiting.extend(importlib.metadata.requires(package) or [])
    return found


def _lend(package: str, packages: pathlib.Path) -> None:
    """Makes one package of this environment importable in another, as an installation without network."""
    distribution = importlib.metadata.distribution(package)
    for path in distribution.files or []:
        if path.parts[0] != ".." and "__pycache__" not in path.parts:
            target = packages / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(pathlib.Path(str(distribution.locate_file(path))))


def _call(python: pathlib.Path, address: str, token: str, log_id: int) -> dict[str, Any]:
    """What the client in the empty environment was told by the policy core at `address`."""
    outcome: dict[str, Any] = json.loads(_run(str(python), "-I", "-c", _CLIENT, address, token, str(log_id)))
    assert pathlib.Path(outcome.pop("code_from")).is_relative_to(python.parents[1])
    assert outcome.pop("strangers") == []
    return outcome


def _explain(
    request: policy_service_pb2.ExplainRequest, context: grpc.ServicerContext
) -> policy_service_pb2.ExplainResponse:
    """Explains two decisions to whoever has the token; the second one for a reason of a later version."""
    if dict(context.invocation_metadata()).get("authorization") != f"Bearer {_TOKEN}":
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "unknown token")
    reasons = {1: int(reasons_pb2.REASON_CODE_WINDOW_NEVER_OPENED), 2: _UNKNOWN_REASON}
    decision = decision_pb2.Decision(log_id=request.log_id, verdict=reasons_pb2.VERDICT_DENY)
    decision.reason = reasons[request.log_id]  # type: ignore[assignment]
    return policy_service_pb2.ExplainResponse(record=policy_service_pb2.DecisionRecord(decision=decision))


@pytest.fixture(scope="module")
def stand_in_address() -> Iterator[str]:
    """Address of a policy core that knows two decisions."""
    explain = grpc.unary_unary_rpc_method_handler(
        _explain,
        request_deserializer=policy_service_pb2.ExplainRequest.FromString,
        response_serializer=policy_service_pb2.ExplainResponse.SerializeToString,
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("hubgate.policy.v1.PolicyService", {"Explain": explain}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_the_wheel_holds_typed_contracts_and_nothing_else(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert re.fullmatch(r"hubgate_proto-\d+\.\d+\.\d+-py3-none-any\.whl", wheel.name)
    assert {name.split("/")[0].removesuffix(".dist-info") for name in names} == {
        "hubgate",
        "-".join(wheel.name.split("-")[:2]),
    }
    assert "hubgate/__init__.py" not in names, "hubgate must stay a namespace that others may share"
    assert {"hubgate/policy/py.typed", "hubgate/sender/py.typed"} <= set(names)
    code = {name for name in names if name.endswith("_pb2.py")}
    assert {name.replace(".py", ".pyi") for name in code} <= set(names)


def test_the_wheel_calls_a_policy_core(empty_python: pathlib.Path, stand_in_address: str) -> None:
    assert _call(empty_python, stand_in_address, _TOKEN, 1) == {
        "code": "OK",
        "log_id": 1,
        "verdict": "VERDICT_DENY",
        "word": "REASON_CODE_WINDOW_NEVER_OPENED",
    }


def test_an_unknown_reason_falls_back_to_its_verdict(
    empty_python: pathlib.Path, stand_in_address: str
) -> None:
    assert _call(empty_python, stand_in_address, _TOKEN, 2)["word"] == "VERDICT_DENY"


def test_a_wrong_token_is_an_error(empty_python: pathlib.Path, stand_in_address: str) -> None:
    assert _call(empty_python, stand_in_address, "wrong", 1) == {"code": "UNAUTHENTICATED"}


def test_the_wheel_is_typed(empty_python: pathlib.Path, tmp_path: pathlib.Path) -> None:
    snippet = tmp_path / "typed_client.py"
    snippet.write_text(_TYPED_CLIENT)
    _run(
        *(sys.executable, "-m", "mypy", "--strict", "--config-file", "/dev/null", "--no-incremental"),
        *("--python-executable", str(empty_python), str(snippet)),
    )


@pytest.fixture(scope="module")
def running_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The whole product on SQLite."""
    folder = tmp_path_factory.mktemp("gateway")
    gateway = Gateway(folder, f"sqlite+aiosqlite:///{folder}/hubgate.db")
    try:
        asyncio.run(gateway.start())
        yield gateway
    finally:
        gateway.stop()


async def _refused_reply(gateway: Gateway, core: CoreClient) -> tuple[str, int]:
    """Posts a reply to someone who never wrote; gives back the account and the number in the policy log."""
    account = await core.account()
    instance = await core.instance(account.account_id, "sandbox")
    integration, secret, _ = await core.integration(account.account_id, [instance.instance_id])
    await core.probe(instance.instance_id)
    async with httpx.AsyncClient(base_url=gateway.base_url, trust_env=False, timeout=10) as client:
        answer = await client.post(
            f"/integrations/3cx/webhook/{integration.integration_id}",
            json={
                "event_type": "outbound_message",
                "to": "+966500000000",
                "message_text": "Your support ticket has been updated.",
                "message_purpose": "support",
            },
            headers={"X-WhatsApp-Gateway-3CX-Secret": secret},
        )
    assert answer.status_code == 409, answer.text
    return account.account_id, answer.json()["log_id"]


async def test_the_wheel_calls_the_real_policy_core(
    empty_python: pathlib.Path, running_gateway: Gateway
) -> None:
    address = running_gateway.core_address
    async with CoreClient(address, running_gateway.admin_token) as core:
        account_id, log_id = await _refused_reply(running_gateway, core)
        service = await core.call(
            core.admin.CreateServiceToken,
            accounts_pb2.CreateServiceTokenRequest(
                name="another-product", rights=["Explain"], account_ids=[account_id]
            ),
        )
        outcome = await asyncio.to_thread(_call, empty_python, address, service.token, log_id)
        assert outcome == {
            "code": "OK",
            "log_id": log_id,
            "verdict": "VERDICT_DENY",
            "word": "REASON_CODE_WINDOW_NEVER_OPENED",
        }
        refused = await asyncio.to_thread(_call, empty_python, address, "hgs_unknown", log_id)
        assert refused == {"code": "UNAUTHENTICATED"}
