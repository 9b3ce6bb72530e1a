"""Owns what the registry needs from the store and the rest of the policy core, as protocols."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from policycore.registry.pages import Filter, Page, PageRequest
from policycore.registry.rows import (
    AccountRow,
    ApiKeyRow,
    CalendarRow,
    InstanceRow,
    IntegrationRow,
    NextSigningRow,
    PauseRow,
    PersonKey,
    SecretRow,
    ServiceTokenRow,
    SmsKeyRow,
    SuppressionRow,
    TemplateRow,
    ThreecxSmsRow,
    WebhookRow,
)
from policycore.registry.rule_sets import RuleSet
from policycore.registry.threecx_rows import ThreecxApiRows

Row = TypeVar("Row")


class Rows(Protocol[Row]):
    """One table whose rows have an `id` and a `created_at`."""

    async def add(self, row: Row) -> None:
        """Inserts. Errors: `AlreadyExistsError` if a name that must be unique is taken."""

    async def find(self, row_id: str) -> Row | None:
        """The row, or None. In a transaction that changes something it stays locked until the end."""

    async def change(self, row_id: str, changes: Mapping[str, object]) -> None:
        """Sets columns. Errors: `AlreadyExistsError` if a name that must be unique is taken."""

    async def remove(self, row_id: str) -> None:
        """Deletes."""

    async def page(self, request: PageRequest, wanted: Filter, *, newest_first: bool = False) -> Page[Row]:
        """One page, by time of creation."""


class IntegrationParts(Protocol):
    """What belongs to an integration beside its row."""

    async def instance_ids(self, integration_ids: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Instances each integration serves."""

    async def set_instances(self, integration_id: str, instance_ids: Sequence[str]) -> None:
        """Replaces the instances an integration serves."""

    async def secrets(self, integration_id: str) -> Sequence[SecretRow]:
        """Secrets, newest first."""

    async def add_secret(self, row: SecretRow) -> None:
        """Inserts a secret."""

    async def end_secrets(self, integration_id: str, until: datetime) -> None:
        """Lets every secret that would count longer end at `until`."""

    async def templates(self, integration_id: str) -> Sequence[TemplateRow]:
        """Templates, by event type."""

    async def put_templates(self, rows: Sequence[TemplateRow]) -> None:
        """Inserts or replaces templates."""


class NextSigning(Protocol):
    """Signing secrets that do not sign yet, at most one for a destination."""

    async def find(self, destination_id: str) -> NextSigningRow | None:
        """The one of this destination, if it has one."""

    async def put(self, row: NextSigningRow) -> None:
        """Inserts or replaces."""

    async def remove(self, destination_id: str) -> None:
        """Deletes."""


class ThreecxSmsRows(Protocol):
    """Settings, numbers and bearer keys of SMS-provider connectors. Whoever changes them holds the integration."""

    async def find(self, integration_id: str) -> ThreecxSmsRow | None:
        """The settings, if any were made."""

    async def put(self, row: ThreecxSmsRow) -> None:
        """Inserts or replaces the settings."""

    async def numbers(self, integration_id: str) -> Mapping[str, str]:
        """The phone system's numbers, by instance."""

    async def set_numbers(self, integration_id: str, numbers: Mapping[str, str]) -> None:
        """Replaces the numbers."""

    async def keys(self, integration_id: str) -> Sequence[SmsKeyRow]:
        """Bearer keys, newest first."""

    async def add_key(self, row: SmsKeyRow) -> None:
        """Inserts a bearer key. Errors: `AlreadyExistsError` if any integration has it."""

    async def end_keys(self, integration_id: str, until: datetime) -> None:
        """Lets every bearer key that would count longer end at `until`."""


class CalendarRows(Protocol):
    """Business hours, at most one calendar for an integration."""

    async def find(self, integration_id: str) -> CalendarRow | None:
        """The calendar of an integration, if it has one."""

    async def put(self, row: CalendarRow) -> None:
        """Inserts or replaces."""

    async def remove(self, integration_id: str) -> None:
        """Deletes."""

    async def newest_event(self, account_id: str) -> int:
        """The last number of an account's event stream; 0 if there is none."""


class Persons(Protocol):
    """Persons as the registry needs them."""

    async def find_or_create(self, account_id: str, person: PersonKey) -> str:
        """Person id; every identity that is given is noted as this person's."""

    async def find(self, account_id: str, person: PersonKey) -> str | None:
        """Person id, if known."""

    async def account_of(self, person_id: str) -> str | None:
        """Account that knows the person, if there is one."""

    async def lock(self, person_id: str) -> str:
        """Makes an opt-out and a reply to the same person take turns.

        Returns who that is once the lock is had: somebody else, if the two turned out to be one.
        """

    async def identities(self, person_ids: Sequence[str]) -> Mapping[str, PersonKey]:
        """What is known of each person."""

    async def asked_back(self, account_id: str, person_ids: Sequence[str]) -> frozenset[str]:
        """Which of them wrote an ambiguous word and have not answered yet."""

    async def suppression(self, account_id: str, person_id: str) -> SuppressionRow | None:
        """The oldest entry that blocks every purpose, if any."""


class RuleRows(Protocol):
    """Rules, every version of them."""

    async def newest(self, account_id: str) -> tuple[int, RuleSet] | None:
        """Version and rules of an account ('' is the platform), if any were ever set."""

    async def add(self, account_id: str, rules: RuleSet, author: str) -> int:
        """Appends a version and returns its number."""


class RegistryRows(Protocol):
    """Everything the registry keeps, in one transaction."""

    @property
    def now(self) -> datetime:
        """The database's clock at the start of the transaction."""

    @property
    def accounts(self) -> Rows[AccountRow]: ...

    @property
    def api_keys(self) -> Rows[ApiKeyRow]: ...

    @property
    def service_tokens(self) -> Rows[ServiceTokenRow]: ...

    @property
    def instances(self) -> Rows[InstanceRow]: ...

    @property
    def integrations(self) -> Rows[IntegrationRow]: ...

    @property
    def parts(self) -> IntegrationParts: ...

    @property
    def signing(self) -> NextSigning: ...

    @property
    def sms(self) -> ThreecxSmsRows: ...

    @property
    def threecx_apis(self) -> ThreecxApiRows: ...

    @property
    def calendars(self) -> CalendarRows: ...

    @property
    def webhooks(self) -> Rows[WebhookRow]: ...

    @property
    def suppressions(self) -> Rows[SuppressionRow]: ...

    @property
    def pauses(self) -> Rows[PauseRow]: ...

    @property
    def rules(self) -> RuleRows: ...

    @property
    def persons(self) -> Persons: ...

    async def write_audit(
        self, actor: str, act: str, target: str, account_id: str | None, detail: Mapping[str, object]
    ) -> None:
        """Adds an administrative act to the audit log. `detail` holds no secret."""

    async def raise_version(self) -> int:
        """Raises the configuration's version, so that every process reads it anew; returns the new one."""


class RegistryStore(Protocol):
    """Transactions over the registry."""

    def changing(self) -> AbstractAsyncContextManager[RegistryRows]:
        """A transaction that may write; raise the version in it if configuration changes.

        After a commit that raised the version, everyone in this process who holds a copy is woken.
        """

    def reading(self) -> AbstractAsyncContextManager[RegistryRows]:
        """A consistent state to read."""
