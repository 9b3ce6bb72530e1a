"""The address of webhook generators: the webhook's authentication, one more way to show the secret, and their dialects.

Kept apart from the JSON webhook, whose secret never counts in an address.
"""

from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl

from edge import answers, public_codes
from edge.answers import HttpAnswer
from edge.errors import BodyIncompleteError, BodyTooLargeError, InvalidJsonError
from edge.http import HttpRequest, closing
from edge.model import IntegrationKey, Outcome, SignatureClaim, Submission
from edge.webhooks import authenticate
from edge.webhooks.authenticate import HeaderCheck, WebhookHeaders
from edge.webhooks.routes import (
    BODY_LIMIT,
    BODY_SECONDS,
    SUBMIT_SECONDS,
    ThreecxWebhook,
    before_body,
    idempotency_key,
    verified_claim,
)
from edge.webhooks.threecx import dialect
from edge.webhooks.threecx.dialect import DialectEvent, Meaning
from edge.words import ReasonCode

TOKEN_PARAMETER: Final = "token"
_TOKEN_LIMIT: Final = 512
_UNREADABLE_TOKEN: Final = "\x00"
"""Stands for a token that cannot be one: longer than any, or given twice; no secret equals it."""


class DialectWebhook(ThreecxWebhook):
    """`GET` and `POST /integrations/3cx/dialect/{integration_id}`."""

    surface = "threecx_dialect"

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answers one request of a generator. Raises CoreError if the policy core gave no answer."""
        # Events come by GET as well: no cache on the way may answer for the gateway.
        answer = await self._answer(request)
        headers = (*answer.headers, ("cache-control", "no-store"))
        return HttpAnswer(answer.status, answer.body, answer.code, headers, answer.content_type)

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        integration_id = request.params["integration_id"]
        if not self._gate.credentials_fresh():
            return before_body(request, answers.unavailable())
        key = self._gate.credentials.integration(integration_id)
        headers, by_token = _shown(request)
        check = authenticate.check_headers(key, headers, self._gate.address(request), self._gate.now())
        # Judged like any other, and refused only then, so that the switch shows neither in time nor in the answer.
        refusal = check.refusal
        if refusal is None and by_token and key is not None and not key.query_token_enabled:
            refusal = "query_token_off"
        if refusal is not None or key is None or check.secret is None:
            return self._turn_away(request, integration_id, refusal or "wrong_secret")
        try:
            # A generator's GET has its event in the address, and that is what it would sign.
            by_body = request.method == "POST"
            raw = await request.body(BODY_LIMIT, BODY_SECONDS) if by_body else request.query_string
        except BodyTooLargeError:
            return closing(await self._wrong(request, key, None, public_codes.PAYLOAD_TOO_LARGE, ""))
        except BodyIncompleteError as error:
            return closing(await self._wrong(request, key, None, public_codes.INVALID_JSON, str(error)))
        return await self._verified(request, key, check, headers, raw)

    async def _verified(
        self,
        request: HttpRequest,
        key: IntegrationKey,
        check: HeaderCheck,
        headers: WebhookHeaders,
        raw: bytes,
    ) -> HttpAnswer:
        claim = verified_claim(key, check, headers, raw)
        if check.secret is None or (check.signature_hex is not None and claim is None):
            return self._turn_away(request, key.integration_id, "wrong_signature")
        self._gate.used(check.secret.secret_id)
        try:
            by_body = request.method == "POST"
            event = dialect.parse_body(raw) if by_body else dialect.parse_query(raw)
            submission = _submission(key, claim, raw, event)
        except InvalidJsonError as error:
            return await self._wrong(request, key, claim, public_codes.INVALID_JSON, str(error))
        if event.meaning is Meaning.NOTED:
            return await self._noted(request, key, claim, event)
        outcome = await self._core.submit(submission, SUBMIT_SECONDS)
        if answers.is_replay(outcome):
            return self._turn_away(request, key.integration_id, "signature_replayed")
        return _explained(outcome, event, self._gate.now())

    async def _noted(
        self, request: HttpRequest, key: IntegrationKey, claim: SignatureClaim | None, event: DialectEvent
    ) -> HttpAnswer:
        """Accepted, and counted against the integration's limit; no address of a recording is kept."""
        body: dict[str, Any] = {"success": True, "status": "accepted", "event_type": event.event_type_text}
        return await self._not_admitted(request, key, claim) or answers.ok(body, 200, "accepted")


def _shown(request: HttpRequest) -> tuple[WebhookHeaders, bool]:
    """What a generator proves itself with, and whether the secret came in the query: that counts only without the
    header.
    """
    secret = request.headers.get(authenticate.SECRET_HEADER)
    token = _token(request.query_string)
    headers = WebhookHeaders(
        token if secret is None else secret,
        request.headers.get(authenticate.TIMESTAMP_HEADER),
        request.headers.get(authenticate.SIGNATURE_HEADER),
    )
    return headers, secret is None and token is not None


def _token(query: bytes) -> str | None:
    """The token in the query, None without one. Its name may be written in any letter case."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    tokens = [value for name, value in pairs if name.lower() == TOKEN_PARAMETER]
    if not tokens:
        return None
    return tokens[0] if len(tokens) == 1 and len(tokens[0]) <= _TOKEN_LIMIT else _UNREADABLE_TOKEN


def _submission(
    key: IntegrationKey, claim: SignatureClaim | None, raw: bytes, event: DialectEvent
) -> Submission:
    """Raises InvalidJsonError. A repeat differs in what does not matter (M, transfers, durations), so that the digest
    is the identity's wherever there is one.
    """
    identity = idempotency_key(event.identity)
    return Submission(
        body_digest=sha256(identity.encode() if identity else raw).digest(),
        integration_id=key.integration_id,
        idempotency_key=identity,
        signature=claim,
        event_type=event.event_type,
        event_type_text=event.event_type_text,
        phone=event.phone,
        agent_extension=event.agent_extension,
        queue=event.queue,
    )


_UNSUPPORTED: Final = (
    "This event of the webhook generator is not known here. Known are ringing, pickup… and hangup…, …call_started, "
    "incoming and outgoing with finishtype Ok or Missed, and recording."
)


def _explained(outcome: Outcome, event: DialectEvent, now: float) -> HttpAnswer:
    """The usual answer; where the event is unknown, in the words of the generator."""
    if outcome.decision.reason != ReasonCode.UNSUPPORTED_EVENT_TYPE:
        return answers.submission(outcome, now=now)
    return answers.submission(outcome, now=now, sentence=_UNSUPPORTED)
