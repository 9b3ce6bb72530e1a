"""Records what instances report: the inbox decides what is new, `interpret` what it means, one commit holds
all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from policycore import steps
from policycore.agent_text import Original
from policycore.errors import NotFound
from policycore.event_ledger import (
    EventLedger,
    EventTransaction,
    EventWrites,
    KnownPerson,
    NewInbound,
    NewSuppression,
)
from policycore.ids import RandomBytes, new_id
from policycore.inbound import (
    IdentityLink,
    InboundEvent,
    InstanceStateChange,
    MarketingPreference,
    Message,
    MessageChange,
    PersonRef,
    Receipt,
)
from policycore.interpret import Meaning, PersonState, interpret, is_from_person, language_of, opened_at
from policycore.ledger import MessageView, NewMessage
from policycore.model import SuppressionFact
from policycore.optout.match import NO_MATCH, Match
from policycore.registry.snapshot import AccountConfig, InstanceConfig
from policycore.usecases.agent_events import (
    OriginalKey,
    changed_body,
    is_told,
    lines_of,
    lines_of_change,
    on_phone_body,
    originals_wanted,
)
from policycore.usecases.bodies import CHANGED, ON_PHONE, OPTED_OUT, RECEIVED, received_body
from policycore.usecases.deliveries import Lines, deliveries_for, tell_status
from policycore.usecases.group_commit import GroupCommit
from policycore.usecases.inbound_view import inbound_view
from policycore.usecases.notices import Notice, write_notices

MOST_EVENTS_AT_ONCE = 1_000
"""Events in one transaction, unless one delivery has more: databases bound the parameters of a statement."""


@dataclass(frozen=True, slots=True)
class Report:
    """One delivery of an instance's back end."""

    instance_id: str
    events: tuple[InboundEvent, ...]
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was done with a delivery."""

    recorded: int
    duplicates: int
    message_ids: tuple[str, ...]


class AfterEvents(Protocol):
    """What follows a commit of inbound events."""

    def events_recorded(
        self,
        *,
        messages: Sequence[NewMessage],
        opted_out: Sequence[str],
        opted_in: Sequence[str],
        deliveries: bool,
        states: bool,
    ) -> None:
        """Hands out notices, guards persons who opted out, wakes outbox and configuration. Returns at once."""


@dataclass(slots=True)
class PersonNow:
    """A person while a batch goes on: later events see what earlier ones did."""

    known: KnownPerson
    suppressed_by: str | None
    marketing: bool
    asked_back: bool
    conversations: dict[str, tuple[str, datetime]] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """One transaction's work."""

    transaction: EventTransaction
    writes: EventWrites = field(default_factory=EventWrites)
    persons: dict[str, PersonNow] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    opted_out: list[str] = field(default_factory=list)
    opted_in: list[str] = field(default_factory=list)
    receipts: list[tuple[str, Receipt]] = field(default_factory=list)
    message_ids: dict[int, list[str]] = field(default_factory=dict)
    originals: Mapping[OriginalKey, Original] = field(default_factory=dict)


class EventRecorder:
    """Records deliveries. `match_opt_out` is the ladder with its word lists, given a text and a language
    hint.
    """

    def __init__(
        self,
        ledger: EventLedger,
        match_opt_out: Callable[[str, str], Match],
        after: AfterEvents,
        random_bytes: RandomBytes,
        *,
        max_waiting: int = 2_000,
    ) -> None:
        self._ledger = ledger
        self._match = match_opt_out
        self._after = after
        self._random = random_bytes
        self._group: GroupCommit[Report, Recorded] = GroupCommit(
            self._commit,
            max_batch=32,
            max_waiting=max_waiting,
            weigh=lambda report: len(report.events),
            max_weight=MOST_EVENTS_AT_ONCE,
            owner_of=lambda report: report.instance_id,
            max_of_one=max_waiting // 2,
        )

    async def record(self, report: Report) -> Recorded:
        """Records one delivery; returns after the commit. NotFound for an unknown instance, Unavailable on
        trouble.
        """
        return await self._group.do(report)

    async def drain(self) -> None:
        """Returns when nothing is under way."""
        await self._group.drain()

    async def _commit(self, reports: Sequence[Report]) -> list[Recorded]:
        async with self._ledger.begin() as transaction:
            batch = Batch(transaction)
            work, counts = await self._claim(transaction, reports)
            steps.passed("ingest.claimed")
            await self._resolve(batch, work)
            wanted = originals_wanted((report.instance_id, event) for _, report, event in work)
            batch.originals = await transaction.find_originals(wanted) if wanted else {}
            for number, report, event in work:
                self._apply(batch, number, report, event)
            changed = await transaction.apply_receipts(batch.receipts) if batch.receipts else []
            tell_status(changed, transaction.snapshot, batch.writes, self._random)
            if batch.notices:
                await write_notices(batch.notices, transaction, batch.writes, self._random)
            await transaction.write(batch.writes)
            steps.passed("ingest.written")
        steps.passed("ingest.committed")
        self._after.events_recorded(
            messages=batch.writes.messages,
            opted_out=batch.opted_out,
            opted_in=batch.opted_in,
            deliveries=bool(batch.writes.deliveries),
            states=bool(batch.writes.states),
        )
        return [
            Recorded(fresh, total - fresh, tuple(batch.message_ids.get(number, ())))
            for number, (fresh, total) in enumerate(counts)
        ]

    async def _claim(
        self, transaction: EventTransaction, reports: Sequence[Report]
    ) -> tuple[list[tuple[int, Report, InboundEvent]], list[tuple[int, int]]]:
        """New events in order, and (new, all) for each report. Of the same event twice in a batch the first
        counts.
        """
        for report in reports:
            if report.instance_id not in transaction.snapshot.instances:
                raise NotFound(f"instance {report.instance_id}")
        keys = [(report.instance_id, event.event_key) for report in reports for event in report.events]
        fresh = await transaction.claim_events(keys) if keys else set()
        work: list[tuple[int, Report, InboundEvent]] = []
        counts: list[tuple[int, int]] = []
        for number, report in enumerate(reports):
            before = len(work)
            for event in report.events:
                if (report.instance_id, event.event_key) in fresh:
                    fresh.discard((report.instance_id, event.event_key))
                    work.append((number, report, event))
            counts.append((len(work) - before, len(report.events)))
        return work, counts

    async def _resolve(self, batch: Batch, work: Sequence[tuple[int, Report, InboundEvent]]) -> None:
        instances = batch.transaction.snapshot.instances
        for _, report, event in work:
            if isinstance(event.report, IdentityLink):
                account_id = instances[report.instance_id].account_id
                await batch.transaction.link_persons(account_id, event.report.previous, event.report.current)
        wanted = [
            (instances[report.instance_id].account_id, event.person)
            for _, report, event in work
            if _needs_person(event)
        ]
        if not wanted:
            return
        resolved = await batch.transaction.resolve_persons(wanted)
        for (account_id, ref), known in resolved.items():
            batch.persons[_person_key(account_id, ref)] = batch.persons.get(known.person_id) or _person_now(
                known
            )
            batch.persons[known.person_id] = batch.persons[_person_key(account_id, ref)]

    def _apply(self, batch: Batch, number: int, report: Report, event: InboundEvent) -> None:
        snapshot = batch.transaction.snapshot
        instance = snapshot.instances[report.instance_id]
        account = snapshot.accounts[instance.account_id]
        match event.report:
            case Message():
                if _needs_person(event):
                    self._message(batch, number, report, event, event.report, instance, account)
            case Receipt():
                batch.receipts.append((instance.instance_id, event.report))
            case InstanceStateChange():
                batch.writes.states.append((instance.instance_id, event.report))
            case MarketingPreference(stopped=stopped):
                self._preference(batch, event, account, stopped)
            case MessageChange():
                self._change(batch, report, event, event.report, instance, account)
            case IdentityLink():
                pass  # done before persons were resolved

    def _message(
        self,
        batch: Batch,
        number: int,
        report: Report,
        event: InboundEvent,
        message: Message,
        instance: InstanceConfig,
        account: AccountConfig,
    ) -> None:
        now = batch.transaction.now
        person = batch.persons[_person_key(account.account_id, event.person)]
        known = person.known
        wrote_at = opened_at(event, report.received_at, now)
        conversation_id, last_inbound_at = person.conversations.get(
            instance.instance_id, (new_id("cnv_", self._random), wrote_at)
        )
        # One transaction has one time; a microsecond for each message before it keeps them in order.
        created_at = now + timedelta(microseconds=len(batch.writes.inbound))
        view = inbound_view(
            new_id("msg_", self._random), instance, known, event, message, conversation_id, created_at
        )
        batch.writes.inbound.append(
            NewInbound(view, message.from_business, event.provider_time, message.media)
        )
        batch.message_ids.setdefault(number, []).append(view.message_id)
        lines = lines_of(instance.instance_id, message, batch.originals)
        if not is_from_person(event):
            if (instance.instance_id, message.external_message_id) not in batch.originals:
                body = on_phone_body(instance=instance, person=known, view=view, sent_at=wrote_at)
                self._forward(batch, instance, known, ON_PHONE, body, lines)
            return
        last_inbound_at = max(last_inbound_at, wrote_at)
        person.conversations[instance.instance_id] = (conversation_id, last_inbound_at)
        batch.writes.windows[instance.instance_id, known.person_id] = (
            account.account_id,
            last_inbound_at,
            conversation_id,
        )
        match = self._match(message.text, known.language) if message.text else NO_MATCH
        state = PersonState(person.suppressed_by, person.marketing, person.asked_back)
        meaning = interpret(event, state, match, report.received_at, now)
        self._name(batch, known, message.contact_name, match.language or language_of(message.text))
        self._consent(batch, person, meaning, match, view, instance, account)
        body = received_body(
            event_name=OPTED_OUT if meaning.opted_out else RECEIVED,
            instance=instance,
            person=known,
            view=view,
            contact_name=message.contact_name or known.display_name,
            received_at=wrote_at,
            window_expires_at=last_inbound_at + account.rules.window,
            media=message.media,
        )
        name = OPTED_OUT if meaning.opted_out else RECEIVED
        batch.writes.events.append((name, view))
        self._forward(batch, instance, known, name, body, lines)

    def _forward(
        self,
        batch: Batch,
        instance: InstanceConfig,
        known: KnownPerson,
        name: str,
        body: Mapping[str, Any],
        lines: Lines,
    ) -> None:
        batch.writes.deliveries.extend(
            deliveries_for(
                batch.transaction.snapshot, instance, known.person_id, name, body, self._random, lines
            )
        )

    def _name(self, batch: Batch, known: KnownPerson, name: str, language: str) -> None:
        name, language = name[:200] or known.display_name, language or known.language
        if (name, language) != (known.display_name, known.language):
            batch.writes.names[known.person_id] = (name, language)

    def _consent(
        self,
        batch: Batch,
        person: PersonNow,
        meaning: Meaning,
        match: Match,
        view: MessageView,
        instance: InstanceConfig,
        account: AccountConfig,
    ) -> None:
        """Suppressions, lifts, questions and the one reply that a message leads to."""
        person_id = person.known.person_id
        if meaning.suppress:
            person.suppressed_by = "person"
            batch.opted_out.append(person_id)
            batch.opted_in = [each for each in batch.opted_in if each != person_id]
            self._suppress(batch, account.account_id, person_id, "all", "The person opted out.", match, view)
        if meaning.suppress_marketing and not person.marketing:
            person.marketing = True
            reason = "An ambiguous word; marketing is held until the person answers."
            self._suppress(batch, account.account_id, person_id, "marketing", reason, match, view)
        if meaning.lift_own_opt_out:
            person.suppressed_by = None
            batch.writes.lifts.append((person_id, "all", match.rule))
            # The opt-out may be a part of this very batch: then it was lifted before it was written.
            batch.writes.suppressions = [
                new for new in batch.writes.suppressions if (new.person_id, new.scope) != (person_id, "all")
            ]
            batch.opted_out = [each for each in batch.opted_out if each != person_id]
            batch.opted_in.append(person_id)
        if meaning.lift_marketing_hold:
            person.marketing = False
            batch.writes.lifts.append((person_id, "marketing", match.rule))
        if meaning.ends_asking:
            person.asked_back = False
            batch.writes.answered.add(person_id)
        if meaning.reply == "clarify":
            person.asked_back = True
            batch.writes.asked[person_id] = (account.account_id, match.rule)
        if meaning.reply is not None:
            language = match.language or person.known.language or account.language
            notice = Notice(meaning.reply, language, person.known, instance, account, view)
            batch.notices.append(replace(notice, suppressed_by=person.suppressed_by))

    def _suppress(
        self,
        batch: Batch,
        account_id: str,
        person_id: str,
        scope: str,
        reason: str,
        match: Match,
        view: MessageView,
    ) -> None:
        batch.writes.suppressions.append(
            NewSuppression(
                suppression_id=new_id("sup_", self._random),
                account_id=account_id,
                person_id=person_id,
                source="person",
                scope=scope,
                reason=reason,
                evidence_message_id=view.message_id,
                evidence_rule=match.rule,
            )
        )

    def _preference(self, batch: Batch, event: InboundEvent, account: AccountConfig, stopped: bool) -> None:
        person = batch.persons.get(_person_key(account.account_id, event.person))
        if person is None:
            return
        if stopped and not person.marketing:
            person.marketing = True
            batch.writes.suppressions.append(
                NewSuppression(
                    suppression_id=new_id("sup_", self._random),
                    account_id=account.account_id,
                    person_id=person.known.person_id,
                    source="whatsapp",
                    scope="marketing",
                    reason="The person stopped marketing in WhatsApp's own settings.",
                    evidence_message_id=None,
                    evidence_rule="whatsapp.user_preferences",
                )
            )
        if not stopped:
            person.marketing = False
            batch.writes.lifts.append((person.known.person_id, "marketing", "whatsapp.user_preferences"))

    def _change(
        self,
        batch: Batch,
        report: Report,
        event: InboundEvent,
        change: MessageChange,
        instance: InstanceConfig,
        account: AccountConfig,
    ) -> None:
        if change.target_external_message_id and change.kind in (3, 4):
            batch.writes.edits.append((instance.instance_id, change.kind, change.target_external_message_id))
        person = batch.persons.get(_person_key(account.account_id, event.person))
        if person is None or not _needs_person(event) or not is_told(change):
            return
        original = batch.originals.get((instance.instance_id, change.target_external_message_id))
        conversation_id, last_inbound_at = person.conversations.get(instance.instance_id, ("", None))
        closes_at = last_inbound_at + account.rules.window if last_inbound_at else None
        body = changed_body(
            instance=instance,
            person=person.known,
            change=change,
            original=original,
            conversation=(conversation_id, closes_at),
            received_at=opened_at(event, report.received_at, batch.transaction.now),
        )
        self._forward(batch, instance, person.known, CHANGED, body, lines_of_change(change, original))


def _needs_person(event: InboundEvent) -> bool:
    """Events whose person is looked up. Groups and broadcasts are noted in the inbox and not kept."""
    if isinstance(event.report, MarketingPreference):
        return bool(event.person.identities())
    return (
        isinstance(event.report, Message | MessageChange)
        and event.chat.name == "DIRECT"
        and bool(event.person.identities())
    )


def _person_key(account_id: str, ref: PersonRef) -> str:
    return "\x00".join((account_id, ref.phone, ref.lid, ref.bsuid))


def _person_now(known: KnownPerson) -> PersonNow:
    return PersonNow(
        known=known,
        suppressed_by=_blocking_source(known.suppressions),
        marketing=any(entry.scope == "marketing" for entry in known.suppressions),
        asked_back=known.asked_back,
        conversations={
            window.instance_id: (window.conversation_id, window.last_inbound_at)
            for window in known.windows.values()
        },
    )


def _blocking_source(suppressions: Sequence[SuppressionFact]) -> str | None:
    """Who suppressed every purpose; the person's own word counts before an administrator's."""
    sources = [entry.source for entry in suppressions if entry.scope == "all"]
    return "person" if "person" in sources else (sources[0] if sources else None)
