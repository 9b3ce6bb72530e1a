"""What 3CX posts as the customer of a provider of text messages: authenticate, read, parse, submit, answer."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol

from edge import answers, public_codes, sms_answers
from edge.answers import HttpAnswer
from edge.errors import BodyIncompleteError, BodyTooLargeError, CoreUnavailableError, InvalidJsonError
from edge.gate import Gate
from edge.http import HttpRequest, closing
from edge.model import Admission, Outcome, SignatureClaim, SmsProviderReply, Submission
from edge.public_codes import PublicCode
from edge.webhooks import authenticate
from edge.webhooks.authenticate import WebhookHeaders
from edge.webhooks.routes import before_body
from edge.webhooks.threecx import sms_provider
from edge.webhooks.threecx.sms_provider import AgentReply
from edge.words import EventType, ReasonCode

BODY_LIMIT: Final = 262_144
BODY_SECONDS: Final = 15.0
SUBMIT_SECONDS: Final = 3.9
"""3CX hears within 4 s that a reply was accepted, whether or not its outcome is known by then."""
ASKS_AGAIN_SECONDS: Final = 8.0
"""So long the policy core is asked again what became of a reply whose answer was lost."""
PAUSE_SECONDS: Final = 0.2
SURFACE: Final = "threecx_sms"


class SubmitsAndAdmits(Protocol):
    """What this door needs of the policy core; both raise CoreError."""

    async def submit(self, submission: Submission, timeout_seconds: float) -> Outcome:
        """Decides and, if allowed, sends."""
        ...

    async def admit(
        self, integration_id: str, signature: SignatureClaim | None, *, sms_provider: bool = False
    ) -> Admission:
        """Counts a request that could not be parsed."""
        ...


class SmsProvider:
    """`POST /integrations/3cx/sms/{integration_id}`. `new_key` gives unpredictable text, another each time."""

    def __init__(self, gate: Gate, core: SubmitsAndAdmits, new_key: Callable[[], str]) -> None:
        self._gate = gate
        self._core = core
        self._new_key = new_key

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answers one reply of an agent. Raises CoreError for what is the edge's own fault."""
        if not self._gate.credentials_fresh():
            return before_body(request, sms_answers.unavailable())
        integration_id = request.params["integration_id"]
        key = self._gate.credentials.sms_integration(integration_id)
        headers = WebhookHeaders(request.bearer(), None, None)
        check = authenticate.check_headers(key, headers, self._gate.address(request), self._gate.now())
        if check.refusal is not None or key is None or check.secret is None:
            self._gate.refused(SURFACE, integration_id, check.refusal or "wrong_secret", request)
            return before_body(request, answers.unauthenticated_webhook())
        self._gate.used(check.secret.secret_id)
        try:
            return await self._answer(request, integration_id)
        except CoreUnavailableError as error:
            return sms_answers.unavailable(error.retry_after_seconds)

    async def _answer(self, request: HttpRequest, integration_id: str) -> HttpAnswer:
        try:
            raw = await request.body(BODY_LIMIT, BODY_SECONDS)
            reply = sms_provider.parse(raw)
        except BodyTooLargeError:
            return closing(await self._wrong(integration_id, public_codes.PAYLOAD_TOO_LARGE, ""))
        except BodyIncompleteError as error:
            return closing(await self._wrong(integration_id, public_codes.INVALID_JSON, str(error)))
        except InvalidJsonError as error:
            return await self._wrong(integration_id, public_codes.INVALID_JSON, str(error))
        outcome = await self._submit(_submission(integration_id, raw, reply, self._new_key()))
        return sms_answers.submission(outcome, reply.from_number, reply.to, self._gate.now())

    async def _submit(self, submission: Submission) -> Outcome:
        """Decides once, however often it is asked: the key is this very request's. Raises CoreError if nobody can say
        whether it was.
        """
        deadline = self._gate.monotonic() + ASKS_AGAIN_SECONDS
        while True:
            try:
                return await self._core.submit(submission, SUBMIT_SECONDS)
            except CoreUnavailableError as error:
                # Who names a time refused the work; anything else may have been decided, and its answer lost.
                if error.retry_after_seconds is not None or self._gate.monotonic() >= deadline:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def _wrong(self, integration_id: str, public: PublicCode, sentence: str) -> HttpAnswer:
        """Tells an authenticated caller what is wrong with its request, if it may make one at all."""
        admission = await self._core.admit(integration_id, None, sms_provider=True)
        if admission.reason == ReasonCode.WEBHOOK_RATE_LIMITED:
            wait = max(1, round(admission.retry_after_seconds or 1))
            return sms_answers.error(public_codes.WEBHOOK_RATE_LIMITED, retry_after=wait)
        if admission.reason != ReasonCode.ALLOWED:
            raise CoreUnavailableError(
                "the policy core did not admit the request", admission.retry_after_seconds
            )
        return sms_answers.error(public, detail=sentence)


def _submission(integration_id: str, raw: bytes, reply: AgentReply, key: str) -> Submission:
    return Submission(
        body_digest=sha256(raw).digest(),
        integration_id=integration_id,
        # Not by content: an agent who writes the same twice means it twice.
        idempotency_key=f"sms:{key}",
        event_type=EventType.OUTBOUND_MESSAGE,
        event_type_text="outbound_message",
        phone=reply.to,
        text=reply.text,
        sms=SmsProviderReply(reply.from_number, reply.attachments),
    )
