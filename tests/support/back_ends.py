"""The stand-ins of WhatsApp back ends, and the fields of an instance on each."""

from typing import Any

from peers.cloud_api import CloudApiPeer
from peers.evolution import EvolutionPeer
from peers.waha import WahaPeer

HOOK_TOKEN = "evolution-hook-token"


async def open_evolution() -> EvolutionPeer:
    """A running stand-in of Evolution, whose webhooks carry a token."""
    return await EvolutionPeer.start(webhook_headers={"X-Webhook-Token": HOOK_TOKEN})


def on_evolution(peer: EvolutionPeer) -> dict[str, str]:
    """What an instance on the stand-in is made with."""
    return {
        "base_url": peer.base_url,
        "external_name": peer.instance,
        "api_token": peer.api_key,
        "webhook_secret": HOOK_TOKEN,
    }


async def open_back_end(backend: str) -> tuple[Any, dict[str, str]]:
    """A running stand-in, and what an instance on it is made with."""
    if backend == "evolution":
        evolution = await open_evolution()
        return evolution, on_evolution(evolution)
    if backend == "waha":
        waha = await WahaPeer.start()
        return waha, {
            "base_url": waha.base_url,
            "external_name": waha.session,
            "api_token": waha.api_key,
            "webhook_secret": waha.hmac_key,
        }
    peer = await CloudApiPeer.start()
    return peer, {
        "base_url": peer.base_url,
        "external_name": peer.phone_number_id,
        "api_token": peer.token,
        "webhook_secret": peer.app_secret,
    }
