"""Owns reading the logs: who may see what of them, and which questions they answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from policycore.errors import Malformed, NotFound
from policycore.ledger import MessageView
from policycore.registry.errors import NotPermittedError, NotPossibleError
from policycore.registry.fields import check_text
from policycore.registry.log_rows import (
    AuditRow,
    DecisionRecord,
    DeliveryReplays,
    DeliveryRow,
    LogReader,
    RefusalRow,
)
from policycore.registry.lookups import within
from policycore.registry.pages import Filter, Page, PageRequest
from policycore.registry.rights import Identity
from policycore.registry.rows import PersonKey
from policycore.registry.suppressions import check_person

REPLAY_DAYS = 30
_MOST_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Which rows of the policy log; empty fields do not matter. A person needs an account."""

    account_id: str = ""
    integration_id: str = ""
    instance_id: str = ""
    person: PersonKey | None = None
    reason: int = 0
    verdict: int = 0


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Which messages: an account's or an instance's. `reveal` asks for texts and whole numbers."""

    account_id: str = ""
    instance_id: str = ""
    person: PersonKey | None = None
    state: int = 0
    reveal: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """Which deliveries; empty fields do not matter. `reveal` asks for bodies."""

    account_id: str = ""
    integration_id: str = ""
    instance_id: str = ""
    webhook_id: str = ""
    delivery_id: str = ""
    state: str = ""
    reveal: bool = False


class PolicyLog:
    """The logs. `wake` tells the dispatcher that a delivery is due."""

    def __init__(self, reader: LogReader, replays: DeliveryReplays, wake: Callable[[], None]) -> None:
        self._reader = reader
        self._replays = replays
        self._wake = wake

    async def decisions(
        self, caller: Identity, query: DecisionQuery, request: PageRequest
    ) -> Page[DecisionRecord]:
        """The policy log, newest first. Errors: `NotPermittedError`, `Malformed`."""
        wanted = within(
            caller,
            query.account_id,
            integration_id=query.integration_id,
            instance_id=query.instance_id,
            reason=query.reason or None,
            verdict=query.verdict or None,
        )
        if query.person is not None:
            if not query.account_id:
                raise Malformed("account_id", "is required to look for a person.")
            person_id = await self._person(query.account_id, query.person)
            if person_id is None:
                return Page(())
            wanted = replace(wanted, equal={**wanted.equal, "person_id": person_id})
        return await self._reader.decisions(wanted, request)

    async def messages(
        self, caller: Identity, query: MessageQuery, request: PageRequest
    ) -> Page[MessageView]:
        """Messages, newest first. Errors: `NotPermittedError`, `NotFound`, `Malformed`."""
        _require_reveal(caller, reveal=query.reveal)
        account_id = await self._account(caller, query)
        wanted = within(caller, account_id, instance_id=query.instance_id, state=query.state or None)
        if query.person is not None:
            person_id = await self._person(account_id, query.person)
            if person_id is None:
                return Page(())
            wanted = replace(wanted, equal={**wanted.equal, "person_id": person_id})
        return await self._reader.messages(wanted, request)

    async def deliveries(
        self, caller: Identity, query: DeliveryQuery, request: PageRequest
    ) -> Page[DeliveryRow]:
        """Deliveries, newest first. Errors: `NotPermittedError`."""
        _require_reveal(caller, reveal=query.reveal)
        wanted = within(
            caller,
            query.account_id,
            integration_id=query.integration_id,
            instance_id=query.instance_id,
            webhook_id=query.webhook_id,
            id=query.delivery_id,
            state=query.state,
        )
        return await self._reader.deliveries(wanted, request)

    async def replay(self, caller: Identity, delivery_id: str) -> DeliveryRow:
        """Delivers again what was given up. Errors: `NotFound`, `NotPossibleError`."""
        row = await self._delivery(caller, delivery_id)
        replayed = await self._replays.replay(delivery_id, caller.name, days=REPLAY_DAYS)
        if replayed is None:
            raise NotPossibleError(
                "NOT_REPLAYABLE",
                f"Only a failed, blocked or discarded delivery of the last {REPLAY_DAYS} days can be replayed;"
                f" this one is {row.state} and of {row.created_at:%Y-%m-%d}.",
            )
        self._wake()
        return replayed

    async def discard(self, caller: Identity, delivery_id: str, reason: str) -> DeliveryRow:
        """Gives up a delivery for good, so that it is not tried again and holds up nothing behind it.

        Errors: `NotFound`, `Malformed`, `NotPossibleError`.
        """
        reason = check_text("reason", reason.strip(), _MOST_REASON_CHARACTERS)
        row = await self._delivery(caller, delivery_id)
        discarded = await self._replays.discard(delivery_id, caller.name, reason)
        if discarded is None:
            raise NotPossibleError(
                "NOT_DISCARDABLE",
                f"Only a delivery that was not delivered can be discarded; this one is {row.state}.",
            )
        self._wake()
        return discarded

    async def _delivery(self, caller: Identity, delivery_id: str) -> DeliveryRow:
        row = await self._replays.find(delivery_id)
        if row is None or not caller.may_act_for(row.account_id):
            raise NotFound(f"There is no delivery {delivery_id[:64]!r}.")
        return row

    async def refusals(self, caller: Identity, target: str, request: PageRequest) -> Page[RefusalRow]:
        """The security log, newest first. Errors: `NotPermittedError`."""
        caller.require_platform()
        return await self._reader.refusals(Filter(equal={"target": target} if target else {}), request)

    async def audit_entries(self, caller: Identity, account_id: str, request: PageRequest) -> Page[AuditRow]:
        """Administrative acts, newest first. Errors: `NotPermittedError`."""
        return await self._reader.audit_entries(within(caller, account_id), request)

    async def _account(self, caller: Identity, query: MessageQuery) -> str:
        if query.account_id:
            return query.account_id
        if not query.instance_id:
            raise Malformed("account_id", "or instance_id is required.")
        account_id = await self._reader.instance_account(query.instance_id)
        if account_id is None or not caller.may_act_for(account_id):
            raise NotFound(f"There is no instance {query.instance_id[:64]!r}.")
        return account_id

    async def _person(self, account_id: str, person: PersonKey) -> str | None:
        known = check_person("person", person)
        identities = {"phone": known.phone, "lid": known.lid, "bsuid": known.bsuid}
        return await self._reader.find_person(
            account_id, {kind: value for kind, value in identities.items() if value}
        )


def _require_reveal(caller: Identity, *, reveal: bool) -> None:
    if reveal and not caller.reveals:
        raise NotPermittedError(f"{caller.name} has no right to see texts and whole numbers.")
