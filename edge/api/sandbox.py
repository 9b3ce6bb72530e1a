"""The sandbox's phone and its 3CX inbox: play the customer, see what arrived, see what was forwarded."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.errors import (
    BodyIncompleteError,
    BodyTooLargeError,
    InvalidCallError,
    InvalidJsonError,
    NotAuthenticatedError,
    NotFoundError,
    NotPermittedError,
)
from edge.gate import Gate
from edge.http import HttpRequest, closing, could_be_id
from edge.model import ForwardedEvent, Message, Recorded
from edge.strict_json import JsonValue, check_storable, read_object
from edge.webhooks.routes import BODY_LIMIT, BODY_SECONDS
from edge.webhooks.whatsapp.model import Delivery, InboundEvent, InboundMessage, MessageKind, PersonRef
from edge.webhooks.whatsapp.sandbox import person as read_person
from edge.webhooks.whatsapp_routes import RECORD_SECONDS
from edge.words import MessageState, word

SURFACE: Final = "admin_api"
VIEW_LIMIT: Final = 200
_NO_NUMBER: Final = "Write the number as +966500000000."

Mode = Literal["open", "admin", "off"]


class PlaysSandbox(Protocol):
    """What the sandbox needs of the policy core; all raise CoreError."""

    async def check_admin(self, token: str, instance_id: str) -> None:
        """Raises unless the token may read this instance's messages."""
        ...

    async def record_delivery(
        self, instance_id: str, delivery: Delivery, received_at: datetime, timeout_seconds: float
    ) -> Recorded:
        """Records what the phone did; returns after the commit."""
        ...

    async def instance_messages(
        self, instance_id: str, person: PersonRef | None, limit: int
    ) -> list[Message]:
        """Newest messages first."""
        ...

    async def instance_deliveries(self, instance_id: str, limit: int) -> list[ForwardedEvent]:
        """Newest deliveries first."""
        ...


class Sandbox:
    """The three sandbox endpoints. `new_id` gives a fresh unique text for message ids."""

    def __init__(self, gate: Gate, core: PlaysSandbox, mode: Mode, new_id: Callable[[], str]) -> None:
        self._gate = gate
        self._core = core
        self._mode = mode
        self._new_id = new_id

    async def write(self, request: HttpRequest) -> HttpAnswer:
        """Plays the customer: `{"from": "+9665…", "text": "…"}` becomes an inbound message."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            body = read_object(await request.body(BODY_LIMIT, BODY_SECONDS))
            sender, text = read_person(_text(body, "from").strip()), _text(body, "text")
        except BodyTooLargeError:
            return closing(answers.error(public_codes.PAYLOAD_TOO_LARGE))
        except BodyIncompleteError as error:
            return closing(answers.error(public_codes.INVALID_JSON, message=str(error)))
        except InvalidJsonError as error:
            return answers.error(public_codes.INVALID_JSON, message=str(error))
        if sender is None or not text.strip():
            return _invalid(_wrong_fields(sender, text))
        external_id = f"sandbox-in-{self._new_id()}"
        written_at = datetime.fromtimestamp(self._gate.now(), UTC)
        event = InboundEvent(
            event_key=f"message:{external_id}",
            event=InboundMessage(external_id, MessageKind.TEXT, text),
            provider_time=written_at,
            person=sender,
        )
        recorded = await self._core.record_delivery(
            request.params["instance_id"], Delivery(events=(event,)), written_at, RECORD_SECONDS
        )
        message_id = recorded.message_ids[0] if recorded.message_ids else None
        return answers.ok({"success": True, "message_id": message_id, "external_message_id": external_id})

    async def phone(self, request: HttpRequest) -> HttpAnswer:
        """The phone's view: messages in both directions, oldest first, with how far each has come."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        # A `+` that was not percent-encoded has arrived as a space.
        written = request.query().get("person", "")
        person = read_person(written.strip())
        if written.strip() and person is None:
            return _invalid({"person": _NO_NUMBER})
        found = await self._core.instance_messages(request.params["instance_id"], person, VIEW_LIMIT)
        return answers.ok({"success": True, "messages": [_phone_view(each) for each in reversed(found)]})

    async def inbox(self, request: HttpRequest) -> HttpAnswer:
        """What was forwarded to 3CX, oldest first."""
        refusal = await self._refusal(request)
        if refusal is not None:
            return refusal
        found = await self._core.instance_deliveries(request.params["instance_id"], VIEW_LIMIT)
        return answers.ok({"success": True, "events": [_event_view(each) for each in reversed(found)]})

    async def _refusal(self, request: HttpRequest) -> HttpAnswer | None:
        """Why this caller is not served; None if it is."""
        instance_id = request.params["instance_id"]
        if self._mode == "off":
            return answers.error(public_codes.NOT_FOUND)
        if not self._gate.credentials_fresh():
            return answers.unavailable()
        if self._mode == "admin":
            refusal = await self._admin_refusal(request, instance_id)
            if refusal is not None:
                return refusal
        instance = self._gate.credentials.instance(instance_id)
        if instance is None or not instance.enabled or instance.backend != "sandbox":
            return answers.error(public_codes.NOT_FOUND, message="There is no such sandbox instance.")
        return None

    async def _admin_refusal(self, request: HttpRequest, instance_id: str) -> HttpAnswer | None:
        token = request.bearer()
        try:
            if token is None:
                raise NotAuthenticatedError
            if not could_be_id(instance_id):
                raise NotFoundError
            await self._core.check_admin(token, instance_id)
        except NotAuthenticatedError:
            self._gate.refused(SURFACE, instance_id, "unauthenticated", request)
            return answers.error(public_codes.UNAUTHENTICATED, headers=(("www-authenticate", "Bearer"),))
        except NotPermittedError:
            self._gate.refused(SURFACE, instance_id, "permission_denied", request)
            return answers.error(public_codes.PERMISSION_DENIED)
        except (NotFoundError, InvalidCallError):
            return answers.error(public_codes.NOT_FOUND, message="There is no such sandbox instance.")
        return None


def _text(body: dict[str, JsonValue], name: str) -> str:
    value = body.get(name)
    return check_storable(str(value), name) if isinstance(value, str) else ""


def _invalid(fields: dict[str, str]) -> HttpAnswer:
    return answers.error(public_codes.VALIDATION_ERROR, details={"fields": fields})


def _wrong_fields(sender: PersonRef | None, text: str) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if sender is None:
        wrong["from"] = _NO_NUMBER
    if not text.strip():
        wrong["text"] = "This field must not be empty."
    return wrong


def _phone_view(message: Message) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "external_message_id": message.external_message_id,
        "direction": "outbound" if message.outbound else "inbound",
        "person": message.phone,
        "text": message.text,
        "state": word(MessageState, message.state),
        "conversation_id": message.conversation_id,
        "error_code": message.error_code,
        "created_at": answers.instant(message.created_at),
        "updated_at": answers.instant(message.updated_at),
    }


def _event_view(event: ForwardedEvent) -> dict[str, Any]:
    return {
        "delivery_id": event.delivery_id,
        "event": event.event_name,
        "body": _decoded(event.body_json),
        "state": event.state,
        "attempts": event.attempts,
        "integration_id": event.integration_id,
        "created_at": answers.instant(event.created_at),
        "settled_at": answers.instant(event.settled_at),
    }


def _decoded(body_json: str) -> Any:
    """The body as JSON; as text if it is none."""
    try:
        return json.loads(body_json) if body_json else None
    except ValueError:
        return body_json
