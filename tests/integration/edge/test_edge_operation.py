"""What operators rely on: health, readiness, the cut-off, rotation, metrics, documents, draining."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from integration.edge.edge_under_test import WEBHOOK, Edge, edge_on, running_edge, until, until_status
from integration.edge.scripted_core import EDGE_TOKEN, SECRET, ScriptedCore, serving

from edge.main import serve
from edge.settings import Listen, Settings
from hubgate.policy.v1 import policy_service_pb2 as wire

EVENT = b'{"event_type":"test"}'
REPOSITORY = Path(__file__).parents[3]


async def until_answer(edge: Edge, secret: str, status: int) -> None:
    """Calls with a secret until the answer has this status."""
    async with asyncio.timeout(5):
        while (await edge.webhook(EVENT, secret=secret)).status_code != status:  # noqa: ASYNC110 - polls a server
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def test_the_smoke_test_and_the_health_of_the_process(edge: Edge) -> None:
    hello = await edge.client.get("/")
    assert (hello.status_code, hello.json()["success"]) == (200, True)
    assert (await edge.client.get("/healthz")).json() == {"status": "ok"}
    assert (await edge.client.get("/readyz")).json()["reasons"] == []
    assert "server" not in hello.headers


async def test_documents_are_served(edge: Edge) -> None:
    assert (await edge.client.get("/openapi.json")).json()["openapi"] == "3.1.0"
    collection = await edge.client.get("/postman.json")
    assert "attachment" in collection.headers["content-disposition"]
    assert collection.json()["info"]["name"] == "hubgate"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/healthz", 200), ("/readyz", 200), ("/", 200), ("/openapi.json", 200), ("/admin/decisions", 401)],
)
async def test_a_head_is_the_answer_to_get_without_its_body(edge: Edge, path: str, status: int) -> None:
    whole = await edge.client.get(path)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        writer.write(f"HEAD {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    lines = head.decode().lower().split("\r\n")
    assert lines[0].split()[1] == str(whole.status_code) == str(status)
    assert f"content-length: {len(whole.content)}" in lines
    assert f"content-type: {whole.headers['content-type']}" in lines
    assert rest == b""


async def test_a_head_of_an_edge_that_is_not_ready_says_so() -> None:
    async with edge_on(free_port(), ScriptedCore(), ready_first=False) as edge:
        assert (await edge.client.head("/readyz")).status_code == 503
        assert (await edge.client.head("/healthz")).status_code == 200


async def test_what_is_only_posted_to_has_no_head(edge: Edge) -> None:
    for path in (WEBHOOK, "/api/send-message"):
        refused = await edge.client.head(path)
        assert refused.status_code == 405
        assert "POST" in refused.headers["allow"]
        assert "HEAD" not in refused.headers["allow"]


async def test_unknown_addresses_and_methods_are_answered_in_json(edge: Edge) -> None:
    missing = await edge.client.get("/no/such/page")
    assert (missing.status_code, missing.json()["error"]) == (404, "not_found")
    wrong = await edge.client.delete("/healthz")
    assert (wrong.status_code, wrong.json()["error"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]


async def test_an_edge_without_a_policy_core_serves_nobody_and_says_why() -> None:
    core = ScriptedCore()
    async with edge_on(free_port(), core, ready_first=False) as edge:
        assert (await edge.client.get("/healthz")).status_code == 200
        answer = await edge.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "unready")
        assert answer.json()["reasons"]
        known = await edge.webhook(EVENT)
        unknown = await edge.webhook(EVENT, "int_unknown", secret=None)
        assert (known.status_code, known.json()["error"]) == (503, "service_unavailable")
        assert (known.content, known.status_code) == (unknown.content, unknown.status_code)
        api = await edge.client.post("/api/send-message", content=b"{}")
        assert api.status_code == 503
        hook = await edge.client.post("/webhooks/whatsapp/sandbox/ins_sandbox", content=b"{}")
        assert hook.status_code == 503


async def test_an_edge_that_is_cut_off_stops_serving_and_comes_back() -> None:
    async with running_edge(cut_off_seconds=0.8) as edge:
        assert (await edge.webhook(EVENT)).status_code == 200
        edge.core.heartbeats = False
        await until_status(edge.client, "/readyz", 503)
        answer = await edge.webhook(EVENT)
        assert (answer.status_code, answer.json()["error"]) == (503, "service_unavailable")
        assert (await edge.webhook(EVENT, "int_unknown")).content == answer.content
        edge.core.heartbeats = True
        await until_status(edge.client, "/readyz", 200)
        assert (await edge.webhook(EVENT)).status_code == 200


async def test_a_policy_core_that_restarts_is_found_again() -> None:
    core = ScriptedCore()
    async with serving(core) as port, edge_on(port, core) as edge:
        pass
    async with serving(core, port), edge_on(port, core) as edge:
        assert (await edge.webhook(EVENT)).status_code == 200


async def test_a_restart_of_the_policy_core_under_a_running_edge() -> None:
    core = ScriptedCore()
    port = free_port()
    async with edge_on(port, core, ready_first=False) as edge:
        for _ in range(2):
            async with serving(core, port):
                await until_status(edge.client, "/readyz", 200)
                assert (await edge.webhook(EVENT)).status_code == 200
            assert (await edge.webhook(EVENT)).status_code == 503


async def test_a_rotation_and_a_revocation_hold_within_a_second(edge: Edge) -> None:
    credentials = wire.WatchCredentialsResponse()
    credentials.CopyFrom(edge.core.credentials)
    credentials.version = 2
    del credentials.integrations[0].secrets[:]
    credentials.integrations[0].secrets.add(secret_id="sec_2", secret="fresh")
    edge.core.credentials = credentials
    edge.core.changed.set()
    started = time.monotonic()
    await until_answer(edge, "fresh", 200)
    assert time.monotonic() - started < 1
    assert (await edge.webhook(EVENT, secret=SECRET)).status_code == 401


async def test_a_secret_in_overlap_ends_by_itself(edge: Edge) -> None:
    credentials = wire.WatchCredentialsResponse()
    credentials.CopyFrom(edge.core.credentials)
    credentials.version = 2
    old = credentials.integrations[0].secrets.add(secret_id="sec_0", secret="old")
    old.valid_until.FromMilliseconds(int(time.time() * 1000) + 700)
    edge.core.credentials = credentials
    edge.core.changed.set()
    await until_answer(edge, "old", 200)
    await until_answer(edge, "old", 401)
    assert (await edge.webhook(EVENT)).status_code == 200


async def test_metrics_live_on_their_own_port() -> None:
    port = free_port()
    async with running_edge(metrics=Listen("127.0.0.1", port)) as edge:
        await edge.webhook(EVENT)
        await edge.webhook(EVENT, secret="wrong")
        assert (await edge.client.get("/metrics")).status_code == 404
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as private:
            page = (await private.get("/metrics")).text
            assert (await private.get("/")).status_code == 404
    assert 'hubgate_edge_requests_total{code="accepted"' not in page
    assert 'route="threecx_webhook"' in page
    assert 'hubgate_edge_refusals_total{reason="wrong_secret",surface="threecx_webhook"} 1.0' in page
    assert "hubgate_edge_credentials_version 1.0" in page
    age = next(line for line in page.splitlines() if line.startswith("hubgate_edge_credentials_age_seconds "))
    assert 0 <= float(age.split()[1]) < 5


async def test_refusals_are_kept_while_the_policy_core_is_away() -> None:
    core = ScriptedCore()
    port = free_port()
    async with edge_on(port, core, ready_first=False) as edge:
        async with serving(core, port):
            await until_status(edge.client, "/readyz", 200)
        for _ in range(3):
            assert (await edge.webhook(EVENT, secret="wrong")).status_code == 401
        await asyncio.sleep(1.2)
        async with serving(core, port):
            await until(lambda: sum(refusal.count for refusal in core.refusals) == 3)
    (refusal,) = {(r.target, r.reason, r.source_address) for r in core.refusals}
    assert refusal == ("int_1", "wrong_secret", "127.0.0.1")


async def test_the_process_drains_when_it_is_told_to_stop() -> None:
    core = ScriptedCore()
    core.hold.clear()
    async with serving(core) as core_port:
        port = free_port()
        environment = {
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'proto' / 'gen'}",
            "HUBGATE_EDGE_TOKEN": "tok_edge",
            "HUBGATE_EDGE_LISTEN": f"127.0.0.1:{port}",
            "HUBGATE_POLICYCORE_ADDRESS": f"127.0.0.1:{core_port}",
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge.main"), env=environment, stderr=subprocess.PIPE, cwd=REPOSITORY
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                await _until_up(client)
                under_way = asyncio.create_task(Edge(port, core, client).webhook(EVENT))
                await until(lambda: len(core.submissions) == 1)
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
                core.hold.set()
                answer = await under_way
            _, said = await asyncio.wait_for(process.communicate(), 20)
        finally:
            if process.returncode is None:
                process.kill()
    assert answer.status_code == 200
    assert process.returncode == 0
    lines = [json.loads(line) for line in said.decode().splitlines()]
    assert any(line["event"] == "edge_listens" for line in lines)
    assert SECRET not in said.decode()


async def test_a_proxy_sees_the_process_leave_before_it_closes() -> None:
    """Not ready while it still serves: a proxy takes the next request elsewhere instead of losing it."""
    core = ScriptedCore()
    async with serving(core) as core_port:
        settings = Settings(
            token=EDGE_TOKEN,
            listen=Listen("127.0.0.1", 0),
            policycore_address=f"127.0.0.1:{core_port}",
            leave_seconds=1,
        )
        stop = asyncio.Event()
        bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(settings, stop, bound.set_result))
        async with httpx.AsyncClient(base_url=f"http://{await bound}", timeout=20) as client:
            await until_status(client, "/readyz", 200)
            stop.set()
            await until_status(client, "/readyz", 503)
            assert (await client.get("/readyz")).json()["reasons"] == ["This process is about to stop."]
            assert (await Edge(0, core, client).webhook(EVENT)).status_code == 200
            await asyncio.wait_for(task, 20)


async def _until_up(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def test_a_wrong_setting_stops_the_start_with_one_sentence() -> None:
    environment = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'proto' / 'gen'}", "HUBGATE_EDGE_TOKEN": ""}
    finished = subprocess.run(
        [sys.executable, "-m", "edge.main"],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 2
    assert finished.stderr.decode().strip().count("\n") == 0
    assert finished.stderr.startswith(b"edge: HUBGATE_EDGE_TOKEN")
