"""The send API for customer systems: `POST /api/send-message` and `GET /api/messages/{message_id}`."""

from hashlib import sha256
from typing import Final, Protocol

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.errors import (
    BodyIncompleteError,
    BodyTooLargeError,
    InvalidJsonError,
    NotFoundError,
    NotPermittedError,
)
from edge.gate import Gate
from edge.http import HttpRequest, closing, could_be_id
from edge.model import ApiKey, Message, Outcome, Submission
from edge.public_codes import PublicCode
from edge.strict_json import JsonNumber, JsonValue, check_storable, read_object
from edge.webhooks.routes import BODY_LIMIT, BODY_SECONDS, IDEMPOTENCY_HEADER, SUBMIT_SECONDS, idempotency_key
from edge.words import EventType

SURFACE: Final = "send_api"
REQUIRED: Final = ("instance_id", "phone", "message")
_FIELD_LIMIT: Final = 128


class SubmitsAndTells(Protocol):
    """What the send API needs of the policy core; both raise CoreError."""

    async def submit(self, submission: Submission, timeout_seconds: float) -> Outcome:
        """Decides and, if allowed, sends."""
        ...

    async def message(self, message_id: str, account_id: str, api_key_id: str) -> Message:
        """What became of one message."""
        ...


class _RefusedError(Exception):
    """The caller proved no API key that counts."""

    def __init__(self, public: PublicCode) -> None:
        super().__init__(public.code)
        self.public = public


class SendApi:
    """Both endpoints. Each raises CoreError if the policy core gave no answer."""

    def __init__(self, gate: Gate, core: SubmitsAndTells) -> None:
        self._gate = gate
        self._core = core

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """Sends one text message."""
        try:
            key = self._authenticate(request)
        except _RefusedError as refused:
            return self._turn_away(request, refused.public)
        if key is None:
            return _before_body(request, answers.unavailable())
        try:
            raw = await request.body(BODY_LIMIT, BODY_SECONDS)
            body = read_object(raw)
            wrong = _wrong_fields(body)
            if wrong:
                return answers.error(public_codes.VALIDATION_ERROR, details={"fields": wrong})
            submission = _submission(key, raw, body, request.headers.get(IDEMPOTENCY_HEADER, ""))
        except BodyTooLargeError:
            return closing(answers.error(public_codes.PAYLOAD_TOO_LARGE))
        except BodyIncompleteError as error:
            return closing(answers.error(public_codes.INVALID_JSON, message=str(error)))
        except InvalidJsonError as error:
            return answers.error(public_codes.INVALID_JSON, message=str(error))
        outcome = await self._core.submit(submission, SUBMIT_SECONDS)
        return answers.submission(outcome, now=self._gate.now(), send_api=True)

    async def message(self, request: HttpRequest) -> HttpAnswer:
        """Tells what became of one message of the key's account."""
        try:
            key = self._authenticate(request)
        except _RefusedError as refused:
            return self._turn_away(request, refused.public)
        if key is None:
            return answers.unavailable()
        message_id = request.params["message_id"]
        try:
            if not could_be_id(message_id):
                raise NotFoundError
            found = await self._core.message(message_id, key.account_id, key.api_key_id)
        except (NotFoundError, NotPermittedError):
            return answers.error(public_codes.NOT_FOUND, message="This API key reaches no such message.")
        return answers.ok({"success": True, **answers.message_view(found)})

    def _authenticate(self, request: HttpRequest) -> ApiKey | None:
        """The key that was offered; None if keys cannot be judged right now. Raises _RefusedError."""
        if not self._gate.credentials_fresh():
            return None
        token = request.bearer()
        digest = sha256((token or "").encode("latin-1", "replace")).digest()
        key = self._gate.credentials.api_key(digest)
        if token is None or key is None:
            raise _RefusedError(public_codes.INVALID_API_KEY)
        if key.revoked:
            raise _RefusedError(public_codes.REVOKED_API_KEY)
        self._gate.used(key.api_key_id)
        return key

    def _turn_away(self, request: HttpRequest, public: PublicCode) -> HttpAnswer:
        self._gate.refused(SURFACE, "", public.code, request)
        return _before_body(request, answers.error(public, headers=(("www-authenticate", "Bearer"),)))


def _before_body(request: HttpRequest, answer: HttpAnswer) -> HttpAnswer:
    return closing(answer) if request.has_body_to_close_on() else answer


def _wrong_fields(body: dict[str, JsonValue]) -> dict[str, str]:
    """What is wrong with which field, if anything is."""
    wrong: dict[str, str] = {}
    for name in REQUIRED:
        value = body.get(name)
        if value is None:
            wrong[name] = "This field is required."
        elif not isinstance(value, str) or (name == "message" and isinstance(value, JsonNumber)):
            wrong[name] = "This field must be text."
        elif not value.strip():
            wrong[name] = "This field must not be empty."
        elif name != "message" and len(value) > _FIELD_LIMIT:
            wrong[name] = f"This field takes at most {_FIELD_LIMIT} characters."
    purpose = body.get("message_purpose")
    if purpose is not None and (not isinstance(purpose, str) or isinstance(purpose, JsonNumber)):
        wrong["message_purpose"] = "This field must be text."
    return wrong


def _submission(key: ApiKey, raw: bytes, body: dict[str, JsonValue], header_key: str) -> Submission:
    """Raises InvalidJsonError. An absent purpose travels as empty text: the policy core names and logs the
    refusal.
    """
    purpose = _text(body, "message_purpose").strip()
    return Submission(
        body_digest=sha256(raw).digest(),
        api_key_id=key.api_key_id,
        idempotency_key=idempotency_key(header_key),
        event_type=EventType.OUTBOUND_MESSAGE,
        event_type_text=EventType.OUTBOUND_MESSAGE.name.lower(),
        phone=_text(body, "phone").strip(),
        text=_text(body, "message"),
        purpose=purpose if len(purpose) <= _FIELD_LIMIT else purpose[:_FIELD_LIMIT] + "…",
        instance=_text(body, "instance_id").strip(),
    )


def _text(body: dict[str, JsonValue], name: str) -> str:
    value = body.get(name)
    return check_storable(str(value), name) if isinstance(value, str) else ""
