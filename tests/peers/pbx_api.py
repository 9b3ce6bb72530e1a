"""Stand-in for the API of a 3CX V20 phone system: tokens, Call Control with its socket, the views of XAPI.

`python -m peers.pbx_api`. Calls are played with `ring`, `answer` and `hang_up`; they happen at once, frame by frame,
and leave segments in the history. A script's key is a path's first word (`connect`, `callcontrol`, `xapi`) or `*`.
"""

import asyncio
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from aiohttp import WSMsgType, web

from peers.backend_peer import received
from peers.peer import Peer, run

CLIENT_ID = "900"
CLIENT_SECRET = "s3cret-of-the-application"
WEBHOOK_KEY = "0f3c00000000000000000000000000e1"

_SENT_SINCE = re.compile(r"TimeSent ge (\S+)")
_SINCE = re.compile(r"SegmentStartTime ge (\S+)")


@dataclass
class _Party:
    dn: str
    call_id: int
    caller: str
    state: str

    def shown(self, number: int) -> dict[str, Any]:
        return {
            "id": number,
            "status": self.state,
            "dn": self.dn,
            "party_caller_name": "",
            "party_dn": "10007",
            "party_caller_id": self.caller,
            "party_did": "",
            "party_dn_type": "Wexternalline",
            "device_id": f"sip:{self.dn}@127.0.0.1",
            "originated_by_dn": "ROUTER",
            "callid": self.call_id,
            "legid": 4,
        }


@dataclass
class _History:
    segments: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self, caller: str, dn: str, began: datetime, ended: datetime | None, *, answered: bool, leg: int
    ) -> None:
        self.segments.append(
            {
                "SegmentId": len(self.segments) + 1,
                "SegmentStartTime": _written(began),
                "SegmentEndTime": None if ended is None else _written(ended),
                "CallAnswered": answered,
                "CallTime": "PT0S",
                "SrcDn": "10007",
                "SrcCallerNumber": caller,
                "SrcExternal": True,
                "SrcParticipantId": leg,
                "DstDn": dn,
                "DstExternal": False,
            }
        )


class PbxApiPeer(Peer):
    """A phone system. `restart` drops every connection, token and party; the history stays."""

    name = "pbx_api"

    def __init__(self) -> None:
        super().__init__()
        self.client_secret = CLIENT_SECRET
        self.history = _History()
        self.writes_history = True
        self.tokens_given = 0
        self.token = ""
        self.parties: dict[int, _Party] = {}
        self.sockets: dict[web.WebSocketResponse, asyncio.BaseTransport | None] = {}
        self.hidden: set[str] = set()
        self.trunks: list[dict[str, Any]] = []
        self.chats: list[dict[str, Any]] = []
        self._began: dict[int, datetime] = {}
        self._answered: set[int] = set()
        self._reached: dict[int, tuple[str, str]] = {}
        self._sequence = 0
        self._ids = itertools.count(8_000)
        self._calls = itertools.count(1_264)
        self._watched = asyncio.Event()

    @classmethod
    async def start(cls, port: int = 0) -> Self:
        """A running stand-in."""
        return await cls()._listen(port)

    def routes(self, app: web.Application) -> None:
        app.router.add_post("/connect/token", self._give_token)
        app.router.add_get("/callcontrol", self._state)
        app.router.add_get("/callcontrol/ws", self._socket)
        app.router.add_get("/callcontrol/{dn}/participants/{id}", self._participant)
        app.router.add_get("/xapi/v1/CallHistoryView", self._call_history)
        app.router.add_get("/xapi/v1/Trunks", self._trunks)
        app.router.add_get("/xapi/v1/ChatMessagesHistoryView", self._chat_history)
        app.router.add_route("*", "/{path:.*}", self._unknown)

    # --- what happens

    async def ring(self, caller: str, *dns: str) -> int:
        """Somebody calls from outside; it rings at these numbers. Returns the call's id."""
        call_id = next(self._calls)
        self._began[call_id] = datetime.now(UTC)
        self._reached[call_id] = (caller, dns[-1])
        for dn in dns:
            number = next(self._ids)
            self.parties[number] = _Party(dn, call_id, caller, "Ringing")
            await self._tell(dn, number, 0)
        return call_id

    async def answer(self, call_id: int, dn: str) -> None:
        """Somebody answers: the others stop ringing."""
        self._answered.add(call_id)
        for number, party in [(n, p) for n, p in self.parties.items() if p.call_id == call_id]:
            if party.dn == dn:
                party.state = "Connected"
                await self._tell(dn, number, 0)
            else:
                await self._remove(number)

    async def hang_up(self, call_id: int) -> None:
        """The call ends; the history knows it from then on."""
        for number in [n for n, p in self.parties.items() if p.call_id == call_id]:
            await self._remove(number)
        caller, dn = self._reached[call_id]
        if self.writes_history:
            now = datetime.now(UTC)
            self.history.add(
                caller, dn, self._began[call_id], now, answered=call_id in self._answered, leg=call_id
            )

    async def miss(self, caller: str, *dns: str) -> int:
        """A call that nobody answers."""
        call_id = await self.ring(caller, *(dns or ("150",)))
        # Time enough for whoever watches to look at each party.
        await asyncio.sleep(0.2)
        await self.hang_up(call_id)
        return call_id

    def past_call(self, caller: str, ago: timedelta, *, answered: bool = False, dn: str = "150") -> None:
        """A call that only the history knows."""
        ended = datetime.now(UTC) - ago
        began = ended - timedelta(seconds=20)
        self.history.add(caller, dn, began, ended, answered=answered, leg=next(self._calls))

    def chat(self, customer: str, text: str, *, agent: str = "", name: str = "") -> None:
        """Something is written in the chat with a customer, by an agent or, without one, by the customer."""
        self.chats.append(
            {
                "MessageId": len(self.chats) + 1,
                "ConversationId": customer,
                "Message": text,
                "SenderParticipantNo": agent or customer,
                "SenderParticipantName": name,
                "SenderParticipantPhone": "" if agent else customer,
                "SenderParticipantEmail": "",
                "Recipients": "",
                "QueueNumber": "800",
                "IsExternal": True,
                "TimeSent": _written(datetime.now(UTC)),
            }
        )

    async def lose_frames(self, count: int = 1) -> None:
        """Frames that never arrive."""
        self._sequence += count

    async def drop_sockets(self) -> None:
        """The sockets end without a word."""
        for transport in list(self.sockets.values()):
            if isinstance(transport, asyncio.Transport):
                transport.abort()
        self.sockets.clear()
        self._watched.clear()

    async def restart(self) -> None:
        """Everything but the history is gone."""
        await self.drop_sockets()
        self.token = ""
        self.parties.clear()
        self._sequence = 0

    async def wait_watched(self, timeout_seconds: float = 30.0) -> None:
        """Until somebody has a socket, and has read what there is."""
        async with asyncio.timeout(timeout_seconds):
            await self._watched.wait()

    # --- what is asked

    async def _give_token(self, request: web.Request) -> web.StreamResponse:
        self.note(await received(request))
        if (script := self.next_script("connect")) is not None:
            return await self.play(request, script)
        form: Mapping[str, Any] = await request.post()
        if (form.get("client_id"), form.get("client_secret"), form.get("grant_type")) != (
            CLIENT_ID,
            self.client_secret,
            "client_credentials",
        ):
            return web.json_response({"error": "invalid_client"}, status=400)
        self.tokens_given += 1
        # Only the newest counts.
        self.token = f"token-{self.tokens_given}"
        return web.json_response(
            {"token_type": "Bearer", "expires_in": 60, "access_token": self.token, "refresh_token": "r"}
        )

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        self.note(await received(request))
        return web.Response(status=404)

    async def _refused(self, request: web.Request, key: str) -> web.StreamResponse | None:
        self.note(await received(request))
        if (script := self.next_script(key)) is not None:
            return await self.play(request, script)
        if not self.token or request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        return None

    async def _state(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, "callcontrol")
        if refused is not None:
            return refused
        by_dn: dict[str, list[dict[str, Any]]] = {"150": [], "151": []}
        for number, party in self.parties.items():
            if party.dn not in self.hidden:
                by_dn.setdefault(party.dn, []).append(party.shown(number))
        if self.sockets:
            self._watched.set()
        found = [
            {"dn": dn, "type": "Wextension", "devices": [], "participants": parties}
            for dn, parties in by_dn.items()
        ]
        return web.json_response(found)

    async def _participant(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, "callcontrol")
        if refused is not None:
            return refused
        number = int(request.match_info["id"])
        party = self.parties.get(number)
        if party is None or party.dn != request.match_info["dn"]:
            return web.Response(status=404)
        return web.json_response(party.shown(number))

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, "socket")
        if refused is not None:
            return refused
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets[socket] = request.transport
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            self.sockets.pop(socket, None)
        return socket

    async def _call_history(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, "xapi")
        if refused is not None:
            return refused
        since = _SINCE.search(request.query.get("$filter", ""))
        if since is None:
            return web.json_response({"error": {"message": "no filter"}}, status=400)
        from_time = datetime.fromisoformat(since[1])
        rows = [
            row
            for row in self.history.segments
            if datetime.fromisoformat(row["SegmentStartTime"]) >= from_time
        ]
        rows.sort(key=lambda row: (row["SegmentStartTime"], row["SegmentId"]))
        return web.json_response(_page(rows, request))

    async def _trunks(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, "xapi")
        return refused if refused is not None else web.json_response(_page(self.trunks, request))

    async def _chat_history(self, request: web.Request) -> web.StreamResponse:
        refused = await self._refused(request, "xapi")
        if refused is not None:
            return refused
        since = _SENT_SINCE.search(request.query.get("$filter", ""))
        if since is None:
            return web.json_response({"error": {"message": "no filter"}}, status=400)
        from_time = datetime.fromisoformat(since[1])
        rows = [row for row in self.chats if datetime.fromisoformat(row["TimeSent"]) >= from_time]
        return web.json_response(_page(rows, request))

    def add_trunk(self, number: str = "10007", *dids: str) -> str:
        """A messaging trunk; returns where it takes messages."""
        url = f"https://pbx.example.com/sms/generic/{WEBHOOK_KEY}"
        self.trunks.append(
            {
                "Number": number,
                "Gateway": {"Name": "WhatsApp"},
                "DidNumbers": list(dids),
                "Messaging": {"Enabled": True, "Provider": "Generic", "Webhook": url},
            }
        )
        return url

    async def _remove(self, number: int) -> None:
        party = self.parties.pop(number)
        await self._tell(party.dn, number, 1)

    async def _tell(self, dn: str, number: int, kind: int) -> None:
        if dn in self.hidden:
            return
        self._sequence += 1
        entity = f"/callcontrol/{dn}/participants/{number}"
        event = {"event_type": kind, "entity": entity, "attached_data": None}
        await self.send_frame({"sequence": self._sequence, "event": event})

    async def send_frame(self, frame: Any) -> None:
        """A frame to everybody who watches; a string goes as it stands."""
        for socket in list(self.sockets):
            if isinstance(frame, str):
                await socket.send_str(frame)
            else:
                await socket.send_json(frame)


def _page(rows: list[dict[str, Any]], request: web.Request) -> dict[str, Any]:
    skip, top = int(request.query.get("$skip", "0")), int(request.query.get("$top", "100"))
    # Where the next page is said to be is a trap: whoever follows it leaves the phone system.
    return {"value": rows[skip : skip + top], "@odata.nextLink": "http://169.254.169.254/latest"}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def main() -> None:
    """Runs the stand-in as a program."""
    run(PbxApiPeer.start, "3CX API")


if __name__ == "__main__":
    main()
