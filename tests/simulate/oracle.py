"""Owns the judgement: reads what was seen from outside and the ledger, and says which promises were broken.

The promises are those of the README, by number. Nothing here calls the code that decides or dispatches.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from policycore.decide_inputs import replay
from policycore.ledger import MessageState, NewMessage
from policycore.model import Action
from simulate.configuration import ACCOUNT, COOL_DOWN_SECONDS, Company
from simulate.evidence import Evidence, read_evidence
from simulate.outbox_twin import DeliveryRow
from simulate.outside import Held, Outside, Says, Taken, lid_of
from simulate.redis_twin import over_budget
from simulate.rows import GAVE_BACK, OPEN
from simulate.store import Store

WINDOW = timedelta(hours=24)
MARGIN = timedelta(seconds=60)
REACHES_SOCKETS_WITHIN = timedelta(seconds=1)
"""How long after its acknowledgement an opt-out may take to the last socket."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, and what shows it."""

    promise: str
    what: str


def judge(store: Store, outside: Outside, company: Company, skew_seconds: float) -> list[Violation]:
    """Every violation of a history that has come to rest. `skew_seconds` is how far off the senders' clocks were."""
    evidence = read_evidence(store, outside)
    found: list[Violation] = []
    for check in (
        _nothing_acknowledged_is_lost,
        _webhooks_act_once,
        _one_request_one_message,
        _outcomes_are_true,
        _suppressions_are_kept,
        _nothing_after_an_opt_out,
        _nothing_while_paused,
        _every_decision_is_durable,
        _validating_leaves_nothing,
        _counters_cost_little,
        _events_are_delivered_in_order,
    ):
        found.extend(check(evidence))
    found.extend(_never_outside_the_window(evidence, timedelta(seconds=skew_seconds)))
    found.extend(_quotas_are_exact(evidence, company))
    return found


def _nothing_acknowledged_is_lost(seen: Evidence) -> Iterator[Violation]:
    for request in seen.outside.requests:
        for answer in request.answers:
            decided = answer.decided
            if decided.log_id == 0:
                continue
            logged = seen.decisions.get(decided.log_id)
            if logged is None or logged.decision_id != decided.decision_id:
                yield Violation("G1", f"decision {decided.log_id} was answered and is not in the log")
            if decided.message is not None and decided.message.message_id not in seen.ours:
                yield Violation("G1", f"message {decided.message.message_id} was answered and is gone")
    for message_id, row in seen.ours.items():
        if row.view.state in OPEN:
            yield Violation("G1", f"message {message_id} was left {row.view.state.name}")


def _webhooks_act_once(seen: Evidence) -> Iterator[Violation]:
    inbound = Counter((row.view.instance_id, row.view.external_message_id) for row in seen.theirs)
    for written in seen.outside.written:
        place = (written.instance_id, written.event_key)
        if written.acknowledged_at is not None and place not in seen.inbox:
            yield Violation("G2", f"{written.event_key} was acknowledged and is not known")
        wanted = 1 if written.opens and place in seen.inbox else 0
        if inbound[place] != wanted:
            yield Violation("G2", f"{written.event_key} was recorded {inbound[place]} times, not {wanted}")
    for place in seen.outside.receipts:
        if place not in seen.inbox:
            yield Violation("G2", f"receipt {place[1]} was acknowledged and is not known")
    for instance_id, external_id in seen.crossed:
        yield Violation("G1", f"a receipt for {external_id} of {instance_id} was kept and never applied")
    forwarded = Counter(row.delivery.body.get("external_message_id") for row in seen.deliveries)
    for row in seen.theirs:
        if not forwarded[row.view.external_message_id]:
            yield Violation("G1", f"{row.view.external_message_id} was recorded and is forwarded to nobody")


def _one_request_one_message(seen: Evidence) -> Iterator[Violation]:
    copies = Counter(taken.message_id for taken in seen.outside.taken)
    for message_id, count in copies.items():
        if count > 1:
            yield Violation("G3", f"message {message_id} left {count} times")
    for taken in seen.outside.taken:
        row = seen.ours.get(taken.message_id)
        if row is None:
            yield Violation("G3", f"{taken.message_id} left and is not in the ledger")
        elif (row.view.text, row.view.phone, row.view.lid, row.view.instance_id) != (
            taken.text,
            taken.phone,
            taken.lid,
            taken.instance_id,
        ):
            yield Violation("G3", f"{taken.message_id} left with other words, or to somebody else")
    for request in seen.outside.requests:
        if not request.name:
            continue
        messages = {answer.decided.message.message_id for answer in request.answers if answer.decided.message}
        kept = [row for message_id, row in seen.ours.items() if message_id in messages]
        accepted = [row for row in kept if row.view.state not in GAVE_BACK]
        if len(accepted) > 1:
            yield Violation("G3", f"request {request.name} was answered with {len(accepted)} messages")
        left = [taken for taken in seen.outside.taken if taken.text == request.text and request.text]
        if len(left) > 1:
            yield Violation("G3", f"request {request.name} made {len(left)} messages")


def _outcomes_are_true(seen: Evidence) -> Iterator[Violation]:
    """What left is never called unsent; what is called accepted did leave."""
    left = {taken.message_id for taken in seen.outside.taken}
    for message_id, row in seen.ours.items():
        state = row.view.state
        if message_id in left and state in GAVE_BACK:
            yield Violation("G3", f"message {message_id} left and is called {state.name}")
        if message_id not in left and state not in GAVE_BACK and state is not MessageState.UNKNOWN:
            yield Violation("G3", f"message {message_id} never left and is called {state.name}")


def _never_outside_the_window(seen: Evidence, skew: timedelta) -> Iterator[Violation]:
    for taken in seen.outside.taken:
        opened = [
            min(written.provider_at, written.reported_at)
            for written in seen.outside.written
            if written.opens
            and written.instance_id == taken.instance_id
            and (written.phone == taken.phone or lid_of(written.phone) == taken.lid)
            and written.reported_at is not None
            and written.reported_at <= taken.at
        ]
        if not opened:
            yield Violation("G4", f"{taken.message_id} went to somebody who never wrote")
        elif taken.at >= max(opened) + WINDOW - MARGIN + skew:
            late = (taken.at - max(opened) - WINDOW + MARGIN).total_seconds()
            yield Violation("G4", f"{taken.message_id} left {late:.3f} s after the window, less its margin")
    for window in seen.windows:
        recorded = [
            min(written.provider_at, written.reported_at or written.provider_at)
            for written in seen.outside.written
            if written.opens
            and written.acknowledged_at is not None
            and seen.owner_of(written) == window.person_id
            and written.instance_id == window.instance_id
        ]
        if recorded and window.last_inbound_at < max(recorded):
            yield Violation("G4", f"the window of {window.person_id} was moved back")


def _suppressions_are_kept(seen: Evidence) -> Iterator[Violation]:
    """The ledger's entries say what the persons' own words say, read in the order in which they were recorded."""
    for phone, person_id in seen.person_of.items():
        if person_id in seen.joined:
            # Of two who turned out to be one, either's opt-out holds, whatever the other said later.
            continue
        out = False
        for row in seen.words_of(person_id):
            says = seen.said[row.view.instance_id, row.view.external_message_id]
            out = says is Says.STOP or (out and says is not Says.START)
        own = any(
            entry.source == "person" and entry.scope == "all" and entry.lifted_at is None
            for entry in seen.suppressions
            if entry.person_id == person_id
        )
        if out != own:
            wanted, is_so = ("out", "not out") if out else ("not out", "out")
            yield Violation("G5", f"{phone} is {is_so} in the ledger, and {wanted} by their own words")


def _nothing_after_an_opt_out(seen: Evidence) -> Iterator[Violation]:
    confirmed: Counter[str] = Counter()
    for taken in seen.outside.taken:
        row = seen.ours.get(taken.message_id)
        if row is None or row.made is None:
            continue
        if row.made.confirms_opt_out:
            confirmed[row.view.person_id] += 1
            continue
        for acknowledged, until in seen.opted_out(row.view.person_id):
            since = max(acknowledged, seen.to_them_since(taken.message_id))
            decided_after = row.view.created_at >= since
            if until is not None and until <= taken.at:
                continue
            if taken.at > since + REACHES_SOCKETS_WITHIN or decided_after:
                late = (taken.at - since).total_seconds()
                yield Violation("G5", f"{taken.message_id} left {late:.3f} s after an acknowledged opt-out")
                break
    for person_id, count in confirmed.items():
        if count > seen.opt_outs_of(person_id):
            yield Violation("G5", f"{person_id} was confirmed {count} times")


def _nothing_while_paused(seen: Evidence) -> Iterator[Violation]:
    for taken in seen.outside.taken:
        row = seen.ours.get(taken.message_id)
        if row is None or row.made is None:
            continue
        for held in seen.outside.pauses:
            if _covers(held, row.made) and _in_force(held, taken):
                late = (taken.at - (held.acknowledged_at or taken.at)).total_seconds()
                yield Violation("G5", f"{taken.message_id} left {late:.3f} s after {held.scope} was paused")


def _covers(held: Held, message: NewMessage) -> bool:
    ids = {
        "platform": "",
        "account": message.account_id,
        "instance": message.instance_id,
        "integration": message.integration_id,
        "person": message.person_id,
    }
    return ids[held.scope] == held.scope_id


def _in_force(held: Held, taken: Taken) -> bool:
    acknowledged = held.acknowledged_at is not None and held.acknowledged_at < taken.at
    return acknowledged and (held.lift_asked_at is None or taken.at < held.lift_asked_at)


def _quotas_are_exact(seen: Evidence, company: Company) -> Iterator[Violation]:
    zone = ZoneInfo(company.zone)
    limits = {10: company.daily_limit, 7: company.monthly_limit}
    kept: Counter[str] = Counter()
    left: Counter[str] = Counter()
    taken_ids = {taken.message_id for taken in seen.outside.taken}
    for message_id, row in seen.ours.items():
        if row.made is None or row.made.reserved_day is None:
            continue
        periods = _periods(row.made.created_at, zone)
        if periods != (row.made.reserved_day, row.made.reserved_month):
            yield Violation("G6", f"{message_id} counts for {row.made.reserved_day}, not for {periods[0]}")
        kept.update(periods if row.view.state not in GAVE_BACK else ())
        left.update(periods if message_id in taken_ids else ())
    for period in sorted({*kept, *(key[1] for key in seen.quota)}):
        used = seen.quota.get((ACCOUNT, period), 0)
        if used != kept[period]:
            yield Violation("G6", f"{used} messages are counted for {period}, {kept[period]} are kept")
        if left[period] > limits[len(period)]:
            yield Violation("G6", f"{left[period]} left in {period}, {limits[len(period)]} are allowed")
    for period, most in seen.most_held(limits):
        yield Violation("G6", f"{most} were held for {period} at once")
    yield from _cool_downs(seen)


def _validating_leaves_nothing(seen: Evidence) -> Iterator[Violation]:
    texts = {row.view.text for row in seen.ours.values()}
    for request in seen.outside.requests:
        if not request.only_validates:
            continue
        if any(answer.decided.log_id or answer.decided.message for answer in request.answers):
            yield Violation("G7", f"{request.text!r} was only to be validated, and was written down")
        if request.text and request.text in texts:
            yield Violation("G3", f"{request.text!r} was only to be validated, and made a message")


def _counters_cost_little(seen: Evidence) -> Iterator[Violation]:
    longest = max(seen.outside.counter_waits, default=0.0)
    if over_budget(longest):
        yield Violation("G8", f"somebody waited {longest:.3f} s for the counters")


def _events_are_delivered_in_order(seen: Evidence) -> Iterator[Violation]:
    """What is called delivered was taken, and each person's events were, at each place, in the order of their rows."""
    taken: dict[str, datetime] = {}
    for delivered in seen.outside.delivered:
        taken.setdefault(delivered.delivery_id, delivered.at)
    known = {row.delivery.delivery_id for row in seen.deliveries}
    for delivery_id in taken:
        if delivery_id not in known:
            yield Violation("G1", f"{delivery_id} was delivered and is not in the outbox")
    lines: dict[tuple[str, str], list[DeliveryRow]] = {}
    for row in sorted(seen.deliveries, key=lambda each: each.number):
        if row.state == "sent" and row.delivery.delivery_id not in taken:
            yield Violation("G1", f"{row.delivery.delivery_id} is called sent and was never taken")
        if row.state in ("failed", "blocked"):
            yield Violation("G1", f"{row.delivery.delivery_id} was given up")
        if row.state == "sent" and not row.set_aside and row.person_id not in seen.joined:
            lines.setdefault((row.destination, row.person_id), []).append(row)
    for line in lines.values():
        for earlier, later in pairwise(line):
            first, second = (taken.get(row.delivery.delivery_id) for row in (earlier, later))
            if first is None or second is None or first < second:
                continue
            # What was committed after the later one had been chosen could not be waited for.
            chosen_at = max(at for at in seen.leased_at[later.delivery.delivery_id] if at <= second)
            if seen.written_at[earlier.delivery.delivery_id] < chosen_at:
                yield Violation("order", f"{later.delivery.delivery_id} overtook an earlier event")


def _periods(moment: datetime, zone: ZoneInfo) -> tuple[str, str]:
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d}", f"{local:%Y-%m}"


def _cool_downs(seen: Evidence) -> Iterator[Violation]:
    sent: dict[tuple[int, str], datetime] = {}
    cooling = [
        row
        for row in seen.ours.values()
        if row.made is not None and row.made.cool_down_until is not None and row.view.state not in GAVE_BACK
    ]
    for row in sorted(cooling, key=lambda each: each.view.created_at):
        key = (row.view.event_type, row.view.person_id)
        before = sent.get(key)
        if before is not None and row.view.created_at < before + timedelta(seconds=COOL_DOWN_SECONDS):
            yield Violation("G6", f"{row.view.message_id} came within the cool-down")
        sent[key] = row.view.created_at


def _every_decision_is_durable(seen: Evidence) -> Iterator[Violation]:
    by_message = {row.message_id: row for row in seen.decisions.values() if row.message_id}
    for message_id, row in seen.ours.items():
        decision = by_message.get(message_id)
        if decision is None or decision.log_id != row.view.log_id:
            yield Violation("G7", f"message {message_id} has no decision")
        elif decision.decision.action is not Action.SEND:
            yield Violation("G7", f"message {message_id} was not allowed by its decision")
    for message_id in by_message:
        if message_id not in seen.ours:
            yield Violation("G7", f"message {message_id} was decided and is not there")
    for logged in seen.decisions.values():
        # The gateway's own notices are decided by fewer checks, which a replay does not know.
        if logged.caller != "gateway" and replay(logged.inputs) != logged.decision:
            yield Violation("G7", f"decision {logged.log_id} comes out otherwise when it is decided again")
