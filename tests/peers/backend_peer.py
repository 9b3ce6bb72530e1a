"""What the three WhatsApp stand-ins share: a send is checked, noted, and answered or scripted."""

import json
from typing import Any

from aiohttp import web

from peers.peer import Peer, Received, Script


class BackendPeer(Peer):
    """A stand-in for a WhatsApp back end."""

    async def take_send(
        self, request: web.Request, to: str, text: str, external_message_id: str, success: Any, status: int
    ) -> web.StreamResponse:
        """Notes a valid send and answers it: as scripted for this person, or with success."""
        script = self.next_script(to)
        accepted = script is None or script.accepts or (not script.status and not script.drop)
        self.note(await received(request, to, text, external_message_id, accepted))
        if script is None:
            return web.json_response(success, status=status)
        if not script.status and not script.drop:
            script = Script(status, success, script.delay_seconds, headers=script.headers)
        return await self.play(request, script)

    async def refuse(self, request: web.Request, status: int, body: Any) -> web.Response:
        """Notes a request that was refused for its form or credentials."""
        self.note(await received(request))
        return web.json_response(body, status=status)


async def received(
    request: web.Request, to: str = "", text: str = "", external_message_id: str = "", accepted: bool = False
) -> Received:
    """The request as the log keeps it."""
    return Received(
        method=request.method,
        path=request.path,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.read(),
        to=to,
        text=text,
        external_message_id=external_message_id,
        accepted=accepted,
    )


async def json_object(request: web.Request) -> dict[str, Any] | None:
    """The body, or None if it is not a JSON object sent as JSON."""
    if request.content_type != "application/json":
        return None
    try:
        value = json.loads(await request.read())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
