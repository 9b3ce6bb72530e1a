"""WhatsApp webhooks: authenticate as the back end can, parse, record, and acknowledge only what was
committed.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from edge import answers, public_codes, steps
from edge.answers import HttpAnswer
from edge.body_room import BodyRoom
from edge.errors import BodyIncompleteError, BodyTooLargeError, NoRoomError
from edge.gate import Gate
from edge.http import HttpRequest, closing
from edge.model import InstanceKey, Recorded, Secret
from edge.public_codes import PublicCode
from edge.webhooks.whatsapp import verify
from edge.webhooks.whatsapp.model import Delivery, NotJson
from edge.webhooks.whatsapp.registry import PARSERS, parse

BODY_LIMIT: Final = 16 * 1024 * 1024
BODY_SECONDS: Final = 60.0
RECORD_SECONDS: Final = 10.0
INLINE_LIMIT: Final = 131_072
"""Bodies up to this size are parsed at once; larger ones in a thread, so that they hold up nobody."""
SURFACE: Final = "whatsapp_webhook"

_SIGNATURE_HEADERS: Final[Mapping[str, str]] = {"cloud_api": "x-hub-signature-256", "waha": "x-webhook-hmac"}
"""Back ends that sign the body, by the header they do it in; the others prove themselves by headers alone."""


class RecordsDeliveries(Protocol):
    """What the WhatsApp webhooks need of the policy core; raises CoreError."""

    async def record_delivery(
        self, instance_id: str, delivery: Delivery, received_at: datetime, timeout_seconds: float
    ) -> Recorded:
        """Records everything one body held; returns after the commit."""
        ...


class WhatsappWebhook:
    """`POST` and `GET /webhooks/whatsapp/{backend}/{instance_id}`. `nobodys_secret` is random and shown to no one."""

    def __init__(
        self, gate: Gate, core: RecordsDeliveries, nobodys_secret: str, room: BodyRoom | None = None
    ) -> None:
        self._gate = gate
        self._core = core
        self._nobodys_secret = nobodys_secret
        self._room = room or BodyRoom()
        self._large_parse = asyncio.Lock()
        self._logger = structlog.get_logger("edge.whatsapp_webhook")

    async def post(self, request: HttpRequest) -> HttpAnswer:
        """Takes one delivery. Raises CoreError, which becomes 503: the back end then tries again."""
        received_at = datetime.fromtimestamp(self._gate.now(), UTC)
        if not self._gate.credentials_fresh():
            return closing(answers.unavailable())
        instance, refusal = self._instance(request)
        # Whoever is refused anyway is taken through the same steps, with a secret that nobody holds.
        subject = instance or self._nobody(request.params["backend"])
        if not self._may_send_body(subject, request.headers):
            return self._turn_away(request, refusal or "missing_proof", public_codes.INVALID_WHATSAPP_WEBHOOK)
        with self._room.claim(subject.instance_id) as claim:
            try:
                raw = await request.body(BODY_LIMIT, BODY_SECONDS, claim.take)
            except BodyTooLargeError:
                return closing(answers.error(public_codes.PAYLOAD_TOO_LARGE))
            except (BodyIncompleteError, NoRoomError):
                # Perhaps the network's fault: an answer in the 500s makes the back end deliver again.
                return closing(answers.unavailable())
            if not self._proven(subject, request.headers, raw) or instance is None:
                return self._turn_away(
                    request, refusal or "wrong_proof", public_codes.INVALID_WHATSAPP_WEBHOOK
                )
            return await self._record(instance, raw, received_at)

    async def handshake(self, request: HttpRequest) -> HttpAnswer:
        """Answers the Cloud API's handshake with its challenge, as plain text."""
        if not self._gate.credentials_fresh():
            return answers.unavailable()
        instance, refusal = self._instance(request)
        subject = instance or self._nobody("cloud_api")
        query, former = request.query(), self._counting(subject.former_verify_token)
        challenge = verify.cloud_handshake(query, subject.verify_token) or verify.cloud_handshake(
            query, former
        )
        if challenge is None or subject.backend != "cloud_api" or instance is None:
            return self._turn_away(request, refusal or "wrong_verify_token", public_codes.HANDSHAKE_REFUSED)
        return HttpAnswer(200, challenge.encode(), "ok", content_type="text/plain; charset=utf-8")

    def _instance(self, request: HttpRequest) -> tuple[InstanceKey | None, str]:
        """The instance the path names, or why there is none to speak of."""
        instance = self._gate.credentials.instance(request.params["instance_id"])
        if instance is None:
            return None, "unknown_instance"
        if not instance.enabled:
            return None, "disabled_instance"
        if instance.backend != request.params["backend"] or instance.backend not in PARSERS:
            return None, "wrong_backend"
        if request.method == "POST" and not instance.webhook_secret:
            return None, "no_webhook_secret"
        return instance, ""

    def _nobody(self, backend: str) -> InstanceKey:
        """Stands for an instance that is not there; a back end that is not there proves itself like the sandbox."""
        known = backend if backend in PARSERS else "sandbox"
        return InstanceKey("", "", known, self._nobodys_secret, self._nobodys_secret, "", enabled=False)

    def _may_send_body(self, instance: InstanceKey, headers: Mapping[str, str]) -> bool:
        """Whether the headers give reason to read megabytes: the proof itself, or the signature to check."""
        signature_header = _SIGNATURE_HEADERS.get(instance.backend)
        if signature_header is not None:
            return bool(headers.get(signature_header))
        return self._proven(instance, headers, b"")

    def _proven(self, instance: InstanceKey, headers: Mapping[str, str], raw: bytes) -> bool:
        now = datetime.fromtimestamp(self._gate.now(), UTC)
        if verify.verify(instance.backend, headers, raw, instance.webhook_secret, now):
            return True
        # Also for those without a former secret: how long it takes must not tell who has one.
        former = self._counting(instance.former_webhook_secret)
        proven = verify.verify(instance.backend, headers, raw, former or self._nobodys_secret, now)
        return proven and former != ""

    def _counting(self, former: Secret | None) -> str:
        """The secret before a rotation while it counts, else nothing."""
        if former is None or former.valid_until is None or self._gate.now() >= former.valid_until:
            return ""
        return former.text.decode()

    async def _record(self, instance: InstanceKey, raw: bytes, received_at: datetime) -> HttpAnswer:
        try:
            delivery = await self._parse(instance, raw)
        except NotJson as error:
            self._logger.warning(
                "whatsapp_body_not_json", instance_id=instance.instance_id, size_bytes=len(raw)
            )
            return answers.error(public_codes.INVALID_JSON, message=str(error))
        steps.passed("ingest.parsed")
        recorded = await self._core.record_delivery(
            instance.instance_id, delivery, received_at, RECORD_SECONDS
        )
        steps.passed("ingest.acknowledging")
        fresh, known = recorded.recorded, recorded.duplicates
        for neighbour in self._named_in(instance, raw):
            theirs = await self._parse(neighbour, raw)
            if theirs.events:
                recorded = await self._core.record_delivery(
                    neighbour.instance_id, theirs, received_at, RECORD_SECONDS
                )
                fresh, known = fresh + recorded.recorded, known + recorded.duplicates
        return answers.ok({"success": True, "recorded": fresh, "duplicates": known})

    def _named_in(self, instance: InstanceKey, raw: bytes) -> list[InstanceKey]:
        """Neighbours that the body names: their events came to this address and would be lost otherwise."""
        return [
            each
            for each in self._gate.credentials.neighbours(instance)
            if each.external_name and each.external_name.encode() in raw
        ]

    async def _parse(self, instance: InstanceKey, raw: bytes) -> Delivery:
        if len(raw) <= INLINE_LIMIT:
            return parse(instance.backend, raw, instance.external_name)
        # One at a time: what is read from sixteen megabytes can be ten times as large, and threads share one core.
        async with self._large_parse:
            return await asyncio.to_thread(parse, instance.backend, raw, instance.external_name)

    def _turn_away(self, request: HttpRequest, reason: str, public: PublicCode) -> HttpAnswer:
        self._gate.refused(SURFACE, request.params["instance_id"], reason, request)
        answer = answers.error(public)
        return closing(answer) if request.has_body_to_close_on() else answer
