"""The stand-ins run as programs, take orders over HTTP, and sign the webhooks that they post."""

import asyncio
import hashlib
import hmac
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from peers.cloud_api import CloudApiPeer
from peers.evolution import EvolutionPeer
from peers.threecx import ThreecxPeer
from peers.waha import WahaPeer

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("module", ["evolution", "cloud_api", "waha", "threecx", "pbx", "pbx_api"])
async def test_a_stand_in_as_a_program(module: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"peers.{module}", env=env, stdout=asyncio.subprocess.PIPE
    )
    assert program.stdout is not None
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        base = f"http://127.0.0.1:{int(await program.stdout.readline())}"
        async with session.post(f"{base}/_control", json={"key": "*", "status": 503}) as response:
            assert response.status == 200
        async with session.post(f"{base}/anything", json={"event": "x"}) as response:
            assert response.status in {400, 404, 503}
        async with session.get(f"{base}/_log") as response:
            log = await response.json()
        program.terminate()
        assert await program.wait() == 0
    assert [entry["path"] for entry in log] == ["/anything"]


@pytest.fixture
async def listener() -> AsyncIterator[ThreecxPeer]:
    """Takes any POST and keeps it."""
    peer = await ThreecxPeer.start()
    yield peer
    await peer.stop()


def only(listener: ThreecxPeer) -> tuple[dict[str, str], bytes, Any]:
    [received] = listener.received
    return received.headers, received.body, received.json


async def test_evolutions_webhook_has_its_headers(listener: ThreecxPeer) -> None:
    peer = await EvolutionPeer.start(webhook_headers={"Authorization": "Bearer hook"})
    assert await peer.post_message(listener.base_url, "+966500000000", "مرحبا", message_id="3EB0X") == 200
    await peer.stop()
    headers, _, body = only(listener)
    assert headers["authorization"] == "Bearer hook"
    assert (body["event"], body["instance"]) == ("messages.upsert", "acme-main")
    assert body["data"]["key"] == {
        "remoteJid": "966500000000@s.whatsapp.net",
        "fromMe": False,
        "id": "3EB0X",
        "participant": "",
        "addressingMode": "pn",
    }
    assert body["data"]["message"] == {"conversation": "مرحبا"}


async def test_the_cloud_apis_webhook_is_signed_over_escaped_bytes(listener: ThreecxPeer) -> None:
    peer = await CloudApiPeer.start(app_secret="app-secret")
    await peer.post_message(listener.base_url, "+966500000000", "café https://a.b")
    await peer.stop()
    headers, raw, body = only(listener)
    assert (
        headers["x-hub-signature-256"] == "sha256=" + hmac.new(b"app-secret", raw, hashlib.sha256).hexdigest()
    )
    assert b"caf\\u00e9 https:\\/\\/a.b" in raw
    [change] = body["entry"][0]["changes"]
    assert change["value"]["messages"][0]["text"]["body"] == "café https://a.b"
    assert isinstance(change["value"]["messages"][0]["timestamp"], str)


async def test_wahas_webhook_is_signed_with_sha512(listener: ThreecxPeer) -> None:
    peer = await WahaPeer.start(hmac_key="hmac-key")
    await peer.post_receipt(listener.base_url, "3EB0", "delivered")
    await peer.stop()
    headers, raw, body = only(listener)
    assert headers["x-webhook-hmac"] == hmac.new(b"hmac-key", raw, hashlib.sha512).hexdigest()
    assert (body["event"], body["payload"]["ackName"]) == ("message.ack", "DEVICE")
    assert body["payload"]["id"] == "true_966500000000@c.us_3EB0"


@pytest.mark.parametrize("kind", ["sent", "delivered", "read", "failed"])
async def test_receipts_of_every_kind(listener: ThreecxPeer, kind: str) -> None:
    shown = []
    for start in (EvolutionPeer.start, CloudApiPeer.start, WahaPeer.start):
        peer = await start()
        assert await peer.post_receipt(listener.base_url, "id-1", kind) == 200
        await peer.stop()
        shown.append(json.dumps(listener.received[-1].json))
    expected = {
        "sent": ("SERVER_ACK", '"sent"', '"SERVER"'),
        "delivered": ("DELIVERY_ACK", '"delivered"', '"DEVICE"'),
        "read": ("READ", '"read"', '"READ"'),
        "failed": ("ERROR", '"failed"', '"ERROR"'),
    }[kind]
    assert all(word in text for word, text in zip(expected, shown, strict=True))
    assert all("id-1" in text for text in shown)
