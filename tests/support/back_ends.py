"""The stand-ins of WhatsApp back ends, and the fields of an instance on each."""

from typing import Any

from peers.cloud_api import CloudApiPeer
from peers.evolution import EvolutionPeer
from peers.waha import WahaPeer


async def open_back_end(backend: str) -> tuple[Any, dict[str, str]]:
    """A running stand-in, and what an instance on it is made with."""
    if backend == "evolution":
        peer: Any = await EvolutionPeer.start(webhook_headers={"X-Webhook-Token": "evolution-hook-token"})
        return peer, {
            "base_url": peer.base_url,
            "external_name": peer.instance,
            "api_token": peer.api_key,
            "webhook_secret": "evolution-hook-token",
        }
    if backend == "waha":
        peer = await WahaPeer.start()
        return peer, {
            "base_url": peer.base_url,
            "external_name": peer.session,
            "api_token": peer.api_key,
            "webhook_secret": peer.hmac_key,
        }
    peer = await CloudApiPeer.start()
    return peer, {
        "base_url": peer.base_url,
        "external_name": peer.phone_number_id,
        "api_token": peer.token,
        "webhook_secret": peer.app_secret,
    }
