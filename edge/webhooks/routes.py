"""The 3CX webhook: authenticate, read, verify, parse, submit, answer. The hot path of the edge."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, Protocol

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.errors import BodyIncompleteError, BodyTooLargeError, CoreUnavailableError, InvalidJsonError
from edge.gate import Gate
from edge.http import HttpRequest, closing
from edge.model import Admission, IntegrationKey, Outcome, SignatureClaim, Submission
from edge.public_codes import PublicCode
from edge.strict_json import check_storable, read_object
from edge.webhooks import authenticate
from edge.webhooks.authenticate import HeaderCheck, WebhookHeaders
from edge.webhooks.threecx import crm_report, json_webhook
from edge.webhooks.threecx.crm_report import ReportEvent
from edge.words import ReasonCode

BODY_LIMIT: Final = 262_144
BODY_SECONDS: Final = 15.0
SUBMIT_SECONDS: Final = 6.0
"""The policy core answers within 4 s; the rest is for the way there and back."""
IDEMPOTENCY_HEADER: Final = "idempotency-key"
SURFACE: Final = "threecx_webhook"


class SubmitsAndAdmits(Protocol):
    """What the 3CX webhook needs of the policy core; both raise CoreError."""

    async def submit(self, submission: Submission, timeout_seconds: float) -> Outcome:
        """Decides and, if allowed, sends."""
        ...

    async def admit(self, integration_id: str, signature: SignatureClaim | None) -> Admission:
        """Counts a request that could not be parsed."""
        ...


class ThreecxWebhook:
    """`POST /integrations/3cx/webhook/{integration_id}`."""

    surface = SURFACE
    """What refusals are counted under."""

    def __init__(self, gate: Gate, core: SubmitsAndAdmits) -> None:
        self._gate = gate
        self._core = core

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answers one webhook request. Raises CoreError if the policy core gave no answer."""
        integration_id = request.params["integration_id"]
        if not self._gate.credentials_fresh():
            return before_body(request, answers.unavailable())
        key = self._gate.credentials.integration(integration_id)
        headers = WebhookHeaders(
            request.headers.get(authenticate.SECRET_HEADER),
            request.headers.get(authenticate.TIMESTAMP_HEADER),
            request.headers.get(authenticate.SIGNATURE_HEADER),
        )
        check = authenticate.check_headers(key, headers, self._gate.address(request), self._gate.now())
        if check.refusal is not None or key is None or check.secret is None:
            return self._turn_away(request, integration_id, check.refusal or "wrong_secret")
        try:
            raw = await request.body(BODY_LIMIT, BODY_SECONDS)
        except BodyTooLargeError:
            return closing(await self._wrong(request, key, None, public_codes.PAYLOAD_TOO_LARGE, ""))
        except BodyIncompleteError as error:
            return closing(await self._wrong(request, key, None, public_codes.INVALID_JSON, str(error)))
        claim = verified_claim(key, check, headers, raw)
        if check.signature_hex is not None and claim is None:
            return self._turn_away(request, integration_id, "wrong_signature")
        self._gate.used(check.secret.secret_id)
        return await self._submit(request, key, claim, raw)

    async def _submit(
        self, request: HttpRequest, key: IntegrationKey, claim: SignatureClaim | None, raw: bytes
    ) -> HttpAnswer:
        try:
            header_key = request.headers.get(IDEMPOTENCY_HEADER, "")
            submission = _submission(key, claim, raw, header_key, self._gate.now)
        except InvalidJsonError as error:
            return await self._wrong(request, key, claim, public_codes.INVALID_JSON, str(error))
        if submission.report is not None and submission.report.unreadable_start:
            # Nobody is turned away, but somebody should know why a time is missing: whose PBX writes which date.
            self._gate.refused(self.surface, key.integration_id, "unreadable_date", request)
        outcome = await self._core.submit(submission, SUBMIT_SECONDS)
        if answers.is_replay(outcome):
            return self._turn_away(request, key.integration_id, "signature_replayed")
        return answers.submission(outcome, now=self._gate.now())

    async def _wrong(
        self,
        request: HttpRequest,
        key: IntegrationKey,
        claim: SignatureClaim | None,
        public: PublicCode,
        sentence: str,
    ) -> HttpAnswer:
        """Tells an authenticated caller what is wrong with its request, if the policy core admits the
        request at all.
        """
        return await self._not_admitted(request, key, claim) or answers.error(public, message=sentence)

    async def _not_admitted(
        self, request: HttpRequest, key: IntegrationKey, claim: SignatureClaim | None
    ) -> HttpAnswer | None:
        """Counts a request that is not submitted; the answer to it if it may not come now, else None."""
        admission = await self._core.admit(key.integration_id, claim)
        return self._not_now(request, key, admission.reason, admission.retry_after_seconds)

    def _not_now(
        self, request: HttpRequest, key: IntegrationKey, reason: int, retry_after_seconds: float | None
    ) -> HttpAnswer | None:
        """The answer to a request that was not admitted for this reason; None for one that was. Raises
        CoreUnavailableError for what is no fault of the caller's.
        """
        if reason == ReasonCode.SIGNATURE_REPLAYED:
            return self._turn_away(request, key.integration_id, "signature_replayed")
        if reason == ReasonCode.WEBHOOK_RATE_LIMITED:
            wait = max(1, round(retry_after_seconds or 1))
            return answers.error(public_codes.WEBHOOK_RATE_LIMITED, retry_after=wait)
        if reason != ReasonCode.ALLOWED:
            raise CoreUnavailableError("the policy core did not admit the request", retry_after_seconds)
        return None

    def _turn_away(self, request: HttpRequest, integration_id: str, reason: str) -> HttpAnswer:
        self._gate.refused(self.surface, integration_id, reason, request)
        return before_body(request, answers.unauthenticated_webhook())


def before_body(request: HttpRequest, answer: HttpAnswer) -> HttpAnswer:
    """Depends on the request's framing alone, so that the headers of a 401 never tell its cause."""
    return closing(answer) if request.has_body_to_close_on() else answer


def verified_claim(
    key: IntegrationKey, check: HeaderCheck, headers: WebhookHeaders, raw: bytes
) -> SignatureClaim | None:
    """The claim of a signature that holds; None if there is none or it does not hold."""
    if (
        check.secret is None
        or check.signature_hex is None
        or check.signed_at is None
        or headers.timestamp is None
    ):
        return None
    if not authenticate.signature_matches(check.secret.text, headers.timestamp, raw, check.signature_hex):
        return None
    return authenticate.signature_claim(
        key.integration_id, check.signature_hex, headers.timestamp, check.signed_at
    )


def _submission(
    key: IntegrationKey,
    claim: SignatureClaim | None,
    raw: bytes,
    header_key: str,
    now: Callable[[], float],
) -> Submission:
    """Raises InvalidJsonError."""
    body = read_object(raw)
    if "source" in body and crm_report.is_report(body):
        return _reported(key, claim, raw, header_key, crm_report.parse(body, now()))
    event = json_webhook.event_of(body)
    return Submission(
        body_digest=sha256(raw).digest(),
        integration_id=key.integration_id,
        idempotency_key=idempotency_key(header_key or event.event_id),
        signature=claim,
        event_type=event.event_type,
        event_type_text=event.event_type_text,
        phone=event.phone,
        text=event.text,
        purpose=event.purpose,
        conversation_id=event.conversation_id,
        agent_extension=event.agent_extension,
        queue=event.queue,
        call_time=event.call_time,
    )


def _reported(
    key: IntegrationKey, claim: SignatureClaim | None, raw: bytes, header_key: str, event: ReportEvent
) -> Submission:
    return Submission(
        body_digest=sha256(raw).digest(),
        integration_id=key.integration_id,
        idempotency_key=idempotency_key(header_key),
        signature=claim,
        event_type=event.event_type,
        event_type_text=event.event_type_text,
        phone=event.phone,
        agent_extension=event.agent_extension,
        queue=event.queue,
        report=event.report,
    )


def idempotency_key(written: str) -> str:
    """A caller's key as it travels: itself, or, if it is over 200 characters, its SHA-256. Raises
    InvalidJsonError.
    """
    text = check_storable(written.strip(), "Idempotency-Key")
    if len(text) <= json_webhook.KEY_LIMIT:
        return text
    return f"sha256:{sha256(text.encode()).hexdigest()}"
