"""Owns what the oracle reads from the ledger: its tables as they are at the end, and its journal of commits."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from policycore.ledger import NewDecision
from simulate.outbox_twin import DeliveryRow
from simulate.outside import Outside, Says, Written, lid_of
from simulate.rows import GAVE_BACK, MessageRow, SuppressionRow, WindowOf
from simulate.settling import crossed
from simulate.store import Store


@dataclass(slots=True)
class Evidence:
    """The ledger's rows, and when they became true."""

    outside: Outside
    decisions: dict[int, NewDecision]
    ours: dict[str, MessageRow]
    theirs: list[MessageRow]
    inbox: dict[tuple[str, str], datetime]
    deliveries: list[DeliveryRow]
    windows: list[WindowOf]
    suppressions: list[SuppressionRow]
    quota: dict[tuple[str, str], int]
    person_of: dict[str, str]
    hidden: dict[str, str]
    joined: set[str]
    crossed: list[tuple[str, str]]
    said: dict[tuple[str, str], Says]
    journal: Store
    written_at: dict[str, datetime] = field(default_factory=dict)
    """When each delivery was committed."""
    leased_at: dict[str, list[datetime]] = field(default_factory=dict)
    """When each delivery was leased, which is when it was chosen to go."""
    _order: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    _theirs_at: dict[str, datetime] = field(default_factory=dict)
    _to_them_since: dict[str, datetime] = field(default_factory=dict)
    _lifted_at: dict[str, datetime] = field(default_factory=dict)

    def owner_of(self, written: Written) -> str | None:
        """Whose message that is in the ledger."""
        return self.hidden.get(lid_of(written.phone)) if written.hidden else self.person_of.get(written.phone)

    def words_of(self, person_id: str) -> list[MessageRow]:
        """What a person wrote, in the order in which it was recorded."""
        mine = [row for row in self.theirs if row.view.person_id == person_id]
        return sorted(mine, key=lambda row: (self._order[row.view.message_id][0], row.view.created_at))

    def opted_out(self, person_id: str) -> Iterator[tuple[datetime, datetime | None]]:
        """From when (acknowledged) until when (lifted in the ledger) a person was suppressed for every purpose."""
        for entry in self.suppressions:
            if entry.person_id != person_id or entry.scope != "all":
                continue
            since = self._acknowledged(entry)
            if since is not None:
                # An entry of somebody who turned out to be this person counts from then on.
                yield (
                    max(since, self._theirs_at[entry.suppression_id]),
                    self._lifted_at.get(entry.suppression_id),
                )

    def to_them_since(self, message_id: str) -> datetime:
        """From when on a message was to the person whose it is at the end: two persons may turn out to be one."""
        return self._to_them_since[message_id]

    def _acknowledged(self, entry: SuppressionRow) -> datetime | None:
        if entry.source == "administrator":
            number = int(entry.suppression_id.rpartition("_")[2])
            return self.outside.suppressions[number - 1].acknowledged_at
        for row in self.theirs:
            if row.view.message_id == entry.evidence_message_id:
                place = (row.view.instance_id, row.view.external_message_id)
                for written in self.outside.written:
                    if (written.instance_id, written.event_key) == place:
                        return written.acknowledged_at
        return None

    def opt_outs_of(self, person_id: str) -> int:
        """How often a person opted out who was not out already; of two who turned out to be one, how often either
        did.
        """
        count, out = 0, False
        for row in self.words_of(person_id):
            says = self.said[row.view.instance_id, row.view.external_message_id]
            if says is Says.STOP:
                count += not out or person_id in self.joined
            out = says is Says.STOP or (out and says is not Says.START)
        return count

    def most_held(self, limits: dict[int, int]) -> Iterator[tuple[str, int]]:
        """Periods for which, after some commit, more messages were held than their limit; `limits` by length of
        their names.
        """
        held: Counter[str] = Counter()
        known: dict[str, tuple[str, ...]] = {}
        over: dict[str, int] = {}
        for change in self.journal.journal:
            if change.table != "messages" or change.row is None or change.row.made is None:
                continue
            made = change.row.made
            gone = change.row.view.state in GAVE_BACK
            now = () if gone or not made.reserved_day else (made.reserved_day, made.reserved_month)
            held.subtract(known.get(change.key, ()))
            held.update(now)
            known[change.key] = now
            for period in now:
                if held[period] > limits[len(period)]:
                    over[period] = max(over.get(period, 0), held[period])
        yield from sorted(over.items())


def read_evidence(store: Store, outside: Outside) -> Evidence:
    """Reads the ledger once."""
    messages = store.table("messages")
    evidence = Evidence(
        outside=outside,
        decisions=store.table("decisions"),
        ours={key: row for key, row in messages.items() if row.made is not None},
        theirs=[row for row in messages.values() if row.made is None],
        inbox=store.table("inbox"),
        deliveries=list(store.table("outbox").values()),
        windows=list(store.table("windows").values()),
        suppressions=list(store.table("suppressions").values()),
        quota=store.table("quota"),
        person_of={key[2]: person for key, person in store.table("identities").items() if key[1] == "phone"},
        hidden={key[2]: person for key, person in store.table("identities").items() if key[1] == "lid"},
        joined={row.merged_into for row in store.table("persons").values() if row.merged_into is not None},
        crossed=crossed(messages.values(), store.table("early").values()),
        said={(each.instance_id, each.event_key): each.says for each in outside.written},
        journal=store,
    )
    for change in store.journal:
        if change.table == "outbox":
            evidence.written_at.setdefault(change.key, change.at)
            if change.row is not None and change.row.leased_until is not None:
                evidence.leased_at.setdefault(change.key, []).append(change.at)
        if change.table == "messages":
            evidence._order.setdefault(change.key, (change.number, change.at))
            if change.row is not None and change.row.view.person_id == messages[change.key].view.person_id:
                evidence._to_them_since.setdefault(change.key, change.at)
        if change.table == "suppressions" and change.row is not None:
            final: SuppressionRow = store.table("suppressions")[change.key]
            if change.row.person_id == final.person_id:
                evidence._theirs_at.setdefault(change.key, change.at)
        if change.table == "suppressions" and change.row is not None and change.row.lifted_at is not None:
            evidence._lifted_at.setdefault(change.key, change.at)
    return evidence
