"""Stand-in for the JSON endpoint beside a 3CX phone system: verifies signatures and keeps what it was sent.

`python -m peers.threecx`. A script's key is the event's `from`, the event's name, or `*`.
"""

import hashlib
import hmac
from typing import Any, Self

from aiohttp import web

from peers.backend_peer import json_object, received
from peers.peer import Peer, run


class ThreecxPeer(Peer):
    """Takes events at any path. `signing_secret` None means that signatures are not looked at."""

    name = "threecx"

    def __init__(self, signing_secret: str | None) -> None:
        super().__init__()
        self.signing_secret = signing_secret

    @classmethod
    async def start(cls, port: int = 0, *, signing_secret: str | None = None) -> Self:
        """A running stand-in."""
        return await cls(signing_secret)._listen(port)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/{path:.*}", self._event)

    async def _event(self, request: web.Request) -> web.StreamResponse:
        body = await json_object(request)
        if not self._signed(request.headers, await request.read()):
            self.note(await received(request))
            return web.json_response({"error": "bad signature"}, status=401)
        if body is None:
            self.note(await received(request))
            return web.json_response({"error": "not a JSON object"}, status=400)
        sender, name = str(body.get("from", "")), str(body.get("event", ""))
        script = self.next_script(sender) or self.next_script(name)
        accepted = (
            script is None or script.accepts or (200 <= (script.status or 200) < 300 and not script.drop)
        )
        self.note(
            await received(request, to=sender, text=str(body.get("message_text", "")), accepted=accepted)
        )
        if script is not None:
            return await self.play(request, script)
        return web.json_response({"taken": True})

    def _signed(self, headers: Any, body: bytes) -> bool:
        if self.signing_secret is None:
            return True
        timestamp = headers.get("X-WhatsApp-Gateway-Timestamp", "")
        mac = hmac.new(
            self.signing_secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256
        ).hexdigest()
        return hmac.compare_digest(headers.get("X-WhatsApp-Gateway-Signature", ""), f"sha256={mac}")


def main() -> None:
    """Runs the stand-in as a program."""
    run(ThreecxPeer.start, "3CX")


if __name__ == "__main__":
    main()
