"""The doors of the 3CX CRM template beside the webhook: the template itself, and looking up who calls."""

from typing import Final, Protocol

from edge import answers, public_address, public_codes
from edge.answers import HttpAnswer
from edge.errors import InvalidJsonError, NotAuthenticatedError, NotPermittedError
from edge.gate import Gate
from edge.http import HttpRequest, could_be_id
from edge.model import Contact, IntegrationKey, LookedUp, SignatureClaim
from edge.public_codes import PublicCode
from edge.strict_json import JsonValue, check_storable, read_object
from edge.webhooks import authenticate
from edge.webhooks.authenticate import WebhookHeaders
from edge.webhooks.routes import SubmitsAndAdmits, ThreecxWebhook, before_body
from edge.webhooks.threecx import crm_template, json_webhook
from edge.words import ReasonCode

XML: Final = "application/xml; charset=utf-8"
_NOBODY: Final[dict[str, list[dict[str, str]]]] = {"contacts": []}
_UNREADABLE: Final = "The address must end in ?language=en or ?language=ar, or name no language."


class LooksUp(SubmitsAndAdmits, Protocol):
    """What the lookup needs of the policy core; raises CoreError."""

    async def look_up(self, integration_id: str, number: str, signature: SignatureClaim | None) -> LookedUp:
        """The person behind a number."""
        ...


class ContactLookUp(ThreecxWebhook):
    """`POST /integrations/3cx/crm/{integration_id}/lookup`: authenticated like the webhook, and answered in the shape
    that the template reads.
    """

    surface = "threecx_lookup"

    def __init__(self, gate: Gate, core: LooksUp) -> None:
        super().__init__(gate, core)
        self._contacts = core

    async def _submit(
        self, request: HttpRequest, key: IntegrationKey, claim: SignatureClaim | None, raw: bytes
    ) -> HttpAnswer:
        try:
            number = _number(read_object(raw))
        except InvalidJsonError as error:
            return await self._wrong(request, key, claim, public_codes.INVALID_JSON, str(error))
        return await self._looked_up(request, key, claim, number)

    async def _wrong(
        self,
        request: HttpRequest,
        key: IntegrationKey,
        claim: SignatureClaim | None,
        public: PublicCode,
        sentence: str,
    ) -> HttpAnswer:
        """Counted as a lookup of nobody, so that wrong bodies do not use up the JSON webhook's limit."""
        answer = await self._looked_up(request, key, claim, "")
        return answer if answer.status != 200 else answers.error(public, message=sentence)

    async def _looked_up(
        self, request: HttpRequest, key: IntegrationKey, claim: SignatureClaim | None, number: str
    ) -> HttpAnswer:
        found = await self._contacts.look_up(key.integration_id, number, claim)
        if found.reason == ReasonCode.MODULE_NOT_ENABLED:
            return answers.error(public_codes.BY_REASON[ReasonCode.MODULE_NOT_ENABLED])
        not_now = self._not_now(request, key, found.reason, found.retry_after_seconds)
        if not_now is not None:
            return not_now
        if found.contact is None:
            return answers.ok(_NOBODY)
        return answers.ok({"contacts": [_contact(found.contact, number)]})


def _number(body: dict[str, JsonValue]) -> str:
    """The number as it stands, spaces and all, for it must be answered so; empty if it can be none."""
    value = body.get("number")
    if not isinstance(value, str) or len(value) > json_webhook.PHONE_LIMIT:
        return ""
    return check_storable(str(value), "number")


def _contact(found: Contact, searched: str) -> dict[str, str]:
    """3CX keeps only a match that has the very number it asked for, a name and an address."""
    return {
        "id": found.person_id,
        "name": found.name or found.phone,
        "phone": searched,
        "contact_url": f"https://wa.me/{found.phone.removeprefix('+')}",
    }


class KnowsIntegrations(Protocol):
    """What the template needs of the policy core; raises CoreError."""

    async def has_integration(self, token: str, integration_id: str) -> bool:
        """Whether the caller of this token may see the integration."""
        ...


class CrmTemplate:
    """`GET /integrations/3cx/{integration_id}/crm-template.xml`, for whoever shows the integration's secret, or the
    token of an administrator who may see it. Everybody else hears the same as for an integration that does not exist.

    `public_url` is the configured address, or empty.
    """

    surface = "threecx_template"

    def __init__(self, gate: Gate, core: KnowsIntegrations, public_url: str) -> None:
        self._gate = gate
        self._core = core
        self._public_url = public_url

    async def __call__(self, request: HttpRequest) -> HttpAnswer:
        """Answers one request. Raises CoreError if the policy core gave no answer."""
        integration_id = request.params["integration_id"]
        if not self._gate.credentials_fresh():
            return before_body(request, answers.unavailable())
        refusal = await self._refusal(request, integration_id)
        if refusal is not None:
            self._gate.refused(self.surface, integration_id, refusal, request)
            return before_body(request, answers.unauthenticated_webhook())
        language = request.query().get("language", "en")
        if language not in crm_template.LANGUAGES:
            return answers.error(public_codes.BAD_REQUEST, message=_UNREADABLE)
        body = crm_template.build(self._address(request), integration_id, language)
        headers = (
            ("content-disposition", 'attachment; filename="whatsapp-gateway-crm.xml"'),
            ("cache-control", "no-store"),
        )
        return HttpAnswer(200, body, "ok", headers, XML)

    async def _refusal(self, request: HttpRequest, integration_id: str) -> str | None:
        """Why the caller may not have the template; None if it may."""
        headers = WebhookHeaders(
            request.headers.get(authenticate.SECRET_HEADER),
            request.headers.get(authenticate.TIMESTAMP_HEADER),
            request.headers.get(authenticate.SIGNATURE_HEADER),
        )
        token = request.bearer()
        if headers.secret is None and token is not None:
            return await self._refusal_of_token(token, integration_id)
        key = self._gate.credentials.integration(integration_id)
        check = authenticate.check_headers(key, headers, self._gate.address(request), self._gate.now())
        if check.refusal is not None or check.secret is None:
            return check.refusal or "wrong_secret"
        self._gate.used(check.secret.secret_id)
        return None

    async def _refusal_of_token(self, token: str, integration_id: str) -> str | None:
        if not could_be_id(integration_id):
            return "unknown_integration"
        try:
            known = await self._core.has_integration(token, integration_id)
        except NotAuthenticatedError:
            return "unauthenticated"
        except NotPermittedError:
            return "permission_denied"
        return None if known else "unknown_integration"

    def _address(self, request: HttpRequest) -> str:
        host, proto = request.headers.get("host", ""), request.headers.get("x-forwarded-proto", "")
        return self._public_url or public_address.address_of_request(host, proto)
