"""The oracle finds mistakes: each of these is planted in a twin, and a few hundred histories must show it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace as replaced
from typing import Any

import pytest
from msgspec.structs import replace

from policycore.counters.redis import RedisCounters
from policycore.event_ledger import EventWrites, KnownPerson
from policycore.inbound import Receipt
from policycore.ledger import MessageView
from policycore.model import Intent
from policycore.ports import AttemptOutcome, OutboundMessage, Outcome, Posting, PostOutcome, PostResult
from policycore.usecases.command import SubmitCommand
from simulate import acts, event_twin, outbox_twin, people, settling
from simulate.event_twin import TwinEventTransaction
from simulate.history import run_history
from simulate.instances import Instances
from simulate.outbox_twin import Endpoints
from simulate.people import Wanted
from simulate.rows import WindowOf
from simulate.senders import SenderTwin
from simulate.store import Place, Store, Transaction
from simulate.world import World

_MOST_HISTORIES = 1_500

Plant = Callable[[pytest.MonkeyPatch], None]


def _opt_out_forgotten(patch: pytest.MonkeyPatch) -> None:
    async def forget(self: TwinEventTransaction, writes: EventWrites) -> None:
        """Writes nothing."""

    patch.setattr(TwinEventTransaction, "_write_suppressions", forget)


def _not_after_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SenderTwin, "_ask_permit", lambda self, message: None)


def _guards_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SenderTwin, "_ask_guards", lambda self, message: None)


def _windows_moved_back(patch: pytest.MonkeyPatch) -> None:
    resolve = people.resolve_persons

    async def without_windows(tx: Transaction, wanted: Sequence[Wanted]) -> dict[Wanted, KnownPerson]:
        known = await resolve(tx, wanted)
        return {pair: replaced(person, windows={}) for pair, person in known.items()}

    async def write(self: TwinEventTransaction, writes: EventWrites) -> None:
        for key, (_, last_inbound_at, conversation_id) in writes.windows.items():
            await self._tx.put("windows", key, WindowOf(*key, last_inbound_at, conversation_id))

    patch.setattr(event_twin, "resolve_persons", without_windows)
    patch.setattr(TwinEventTransaction, "_write_windows", write)


def _inbox_forgets(patch: pytest.MonkeyPatch) -> None:
    async def claim(self: TwinEventTransaction, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        for key in keys:
            await self._tx.put("inbox", key, self.now)
        return set(keys)

    patch.setattr(TwinEventTransaction, "claim_events", claim)


def _sent_again(patch: pytest.MonkeyPatch) -> None:
    take = Instances.take

    async def twice(self: Instances, message: OutboundMessage) -> AttemptOutcome:
        outcome = await take(self, message)
        return await take(self, message) if outcome.outcome is Outcome.UNKNOWN else outcome

    patch.setattr(Instances, "take", twice)


def _handed_out_twice(patch: pytest.MonkeyPatch) -> None:
    async def everything(tx: Transaction, message_ids: Sequence[str]) -> set[str]:
        return set(message_ids)

    patch.setattr(event_twin, "hand_out", everything)


def _quota_not_locked(patch: pytest.MonkeyPatch) -> None:
    lock = Transaction.lock

    async def without_quota(self: Transaction, places: Iterator[Place]) -> None:
        await lock(self, [place for place in places if place[0] not in ("quota", "persons")])

    patch.setattr(Transaction, "lock", without_quota)


def _nothing_given_back(patch: pytest.MonkeyPatch) -> None:
    async def keep(*_: object) -> None:
        """Gives nothing back."""

    patch.setattr(settling, "_give_back", keep)


def _unknown_called_unsent(patch: pytest.MonkeyPatch) -> None:
    states = settling._STATE_OF_OUTCOME
    patch.setitem(states, Outcome.UNKNOWN, states[Outcome.REJECTED])


def _receipts_go_to_anybody(patch: pytest.MonkeyPatch) -> None:
    async def misplace(tx: Transaction, receipts: Sequence[tuple[str, Receipt]]) -> list[MessageView]:
        ours = [row for row in tx.rows("messages") if row.made is not None]
        for _, receipt in receipts:
            state = settling.next_state(ours[0].view.state, receipt.kind) if ours else None
            if state is not None:
                moved = replace(ours[0], view=replace(ours[0].view, state=state))
                await tx.put("messages", moved.view.message_id, moved)
        return []

    patch.setattr(event_twin, "apply_receipts", misplace)


def _receipts_left_lying(patch: pytest.MonkeyPatch) -> None:
    async def nothing(self: TwinEventTransaction) -> list[MessageView]:
        return []

    patch.setattr(TwinEventTransaction, "match_receipts", nothing)


def _commit_torn(patch: pytest.MonkeyPatch) -> None:
    apply = Store.apply

    def tear(self: Store, changes: dict[Place, object]) -> None:
        kept = {place: row for place, row in changes.items() if place[0] != "decisions"}
        apply(self, changes if self.commits % 10 else kept)

    patch.setattr(Store, "apply", tear)


def _commit_lost(patch: pytest.MonkeyPatch) -> None:
    apply = Store.apply

    def lose(self: Store, changes: dict[Place, object]) -> None:
        apply(self, changes if self.random.random() > 0.05 else {})

    patch.setattr(Store, "apply", lose)


def _validated_and_written(patch: pytest.MonkeyPatch) -> None:
    make = acts._command

    def for_real(world: World, intent: Intent, key: str, only_validates: bool) -> SubmitCommand:
        return make(world, intent, key, False)

    patch.setattr(acts, "_command", for_real)


def _counters_waited_for(patch: pytest.MonkeyPatch) -> None:
    make = RedisCounters.__init__

    def patient(self: RedisCounters, *arguments: Any, **more: Any) -> None:
        make(self, *arguments, **{**more, "budget_seconds": 10.0})

    patch.setattr(RedisCounters, "__init__", patient)


def _lines_overtaken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(outbox_twin, "heads", lambda rows: [row for row in rows if row.state == "pending"])


def _delivered_on_paper(patch: pytest.MonkeyPatch) -> None:
    async def pretend(self: Endpoints, posting: Posting) -> PostResult:
        return PostResult(PostOutcome.TAKEN, 200)

    patch.setattr(Endpoints, "take", pretend)


_PLANTS: tuple[tuple[Plant, str], ...] = (
    (_opt_out_forgotten, "G5"),
    (_not_after_ignored, "G4"),
    (_guards_not_asked, "G5"),
    (_windows_moved_back, "G4"),
    (_inbox_forgets, "G2"),
    (_sent_again, "G3"),
    (_handed_out_twice, "G3"),
    (_quota_not_locked, "G6"),
    (_nothing_given_back, "G6"),
    (_unknown_called_unsent, "G3"),
    (_receipts_go_to_anybody, "G3"),
    (_receipts_left_lying, "G1"),
    (_commit_torn, "G7"),
    (_commit_lost, "G1"),
    (_validated_and_written, "G7"),
    (_counters_waited_for, "G8"),
    (_lines_overtaken, "order"),
    (_delivered_on_paper, "G1"),
)


@pytest.mark.parametrize(("plant", "promise"), _PLANTS, ids=[plant.__name__ for plant, _ in _PLANTS])
@pytest.mark.usefixtures("quiet")
def test_a_planted_mistake_is_found(plant: Plant, promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    for seed in range(_MOST_HISTORIES):
        if any(violation.promise == promise for violation in run_history(seed).violations):
            print(f"found by history {seed}")
            return
    pytest.fail(f"{_MOST_HISTORIES} histories did not show it")
