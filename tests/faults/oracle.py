"""The judgement: which promise was broken, by what could be seen from outside and what the database holds.

It calls nothing of the product but `replay`, which decides a row of the policy log again. Each check yields what is
wrong; how many things it looked at is counted, so that a promise that nothing tested does not look kept.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from faults.evidence import GAVE_BACK, OPEN, UNKNOWN, Evidence, MessageRow
from faults.stand_ins import Arrival
from policycore.decide_inputs import replay

WINDOW_SECONDS = 86_400.0
MARGIN_SECONDS = 60.0
REACHES_SOCKETS_SECONDS = 1.0
"""How long an acknowledged opt-out or pause may take to the last socket."""
NOTICING_SECONDS = 1.0
"""How much later than it was written a message may be noted as arrived: this machine is shared and busy."""
MOST_REDIS_COSTS_SECONDS = 0.05

_SEND, _ALLOW = 1, 1
_OF_INBOUND = frozenset({"message.received", "recipient.opted_out"})


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise, and what shows it."""

    promise: str
    what: str


@dataclass(slots=True)
class Judgement:
    """What was looked at, by promise, and what was wrong."""

    checks: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)


class Looking:
    """One promise being looked at."""

    def __init__(self, evidence: Evidence) -> None:
        self.seen = evidence
        self.looked = 0
        self.slack = evidence.record.slack_seconds + NOTICING_SECONDS
        self.rows: dict[str, list[MessageRow]] = {}
        for row in evidence.ours():
            if token := token_of(row.text):
                self.rows.setdefault(token, []).append(row)

    def row_of(self, arrival: Arrival) -> MessageRow | None:
        """The row of a message that arrived: of those with its text, the last that was there by then."""
        rows = self.rows.get(token_of(arrival.text), [])
        before = [row for row in rows if row.created_at <= arrival.at]
        return max(before or rows, key=lambda row: row.created_at, default=None)


def token_of(text: str) -> str:
    """The mark in a request's text: `#…` at its end; empty for the gateway's own notices."""
    before, mark, token = text.rpartition("#")
    return token if mark and before else ""


def judge(evidence: Evidence) -> Judgement:
    """Everything that is wrong at rest, after everything was healed."""
    judgement = Judgement()
    for promise, checks in CHECKS.items():
        looking = Looking(evidence)
        for check in checks:
            judgement.violations.extend(Violation(promise, what) for what in check(looking))
        judgement.checks[promise] += looking.looked
    return judgement


def nothing_answered_is_lost(look: Looking) -> Iterator[str]:
    """G1: decision, message and the work that follows."""
    decisions = {row.log_id: row for row in look.seen.ledger.decisions}
    messages = {row.message_id for row in look.seen.ledger.messages}
    for request in look.seen.record.requests:
        for answer in request.accepted:
            look.looked += 1
            log_id, message_id = answer.body.get("log_id"), answer.body.get("message_id")
            if log_id not in decisions:
                yield f"{request.token} was answered {answer.status} with decision {log_id}, which is gone"
            if message_id is not None and message_id not in messages:
                yield f"{request.token} was answered {answer.status} with {message_id}, which is gone"
    for row in look.seen.ours():
        look.looked += 1
        if row.state in OPEN:
            yield f"{row.message_id} was left in state {row.state}"


def what_came_in_goes_on(look: Looking) -> Iterator[str]:
    """G1: what persons wrote is forwarded."""
    arrived = {(event.event, event.external_id) for event in look.seen.forwarded if event.taken}
    for row in look.seen.ledger.outbox:
        look.looked += 1
        if row.state != "sent":
            yield f"the {row.event} of {row.external_id} is {row.state}"
        elif (row.event, row.external_id) not in arrived:
            yield f"the {row.event} of {row.external_id} is called sent and never arrived"
    told = {row.external_id for row in look.seen.ledger.outbox}
    for written in look.seen.record.written:
        if written.acknowledged_at is not None and written.external_id not in told:
            yield f"{written.external_id} was acknowledged and is forwarded to nobody"


def webhooks_act_once(look: Looking) -> Iterator[str]:
    """G2."""
    kept = Counter(
        (row.instance_id, row.external_id) for row in look.seen.ledger.messages if not row.outbound
    )
    for written in look.seen.record.written:
        look.looked += 1
        count = kept[written.instance_id, written.external_id]
        if count > 1:
            yield f"{written.external_id} was recorded {count} times"
        if written.acknowledged_at is not None and count == 0:
            yield f"{written.external_id} was acknowledged and is not recorded"
    inbound = [each for each in look.seen.ledger.outbox if each.event in _OF_INBOUND]
    for (_, external_id), rows in Counter((row.integration_id, row.external_id) for row in inbound).items():
        if rows > 1:
            yield f"{external_id} is forwarded by {rows} rows"


def one_request_one_message(look: Looking) -> Iterator[str]:
    """G3: no request leaves twice; one key names one message."""
    left = Counter(token_of(each.text) for each in look.seen.arrivals if each.accepted)
    arrived = Counter(token_of(each.text) for each in look.seen.arrivals)
    for request in look.seen.record.requests:
        look.looked += 1
        if left[request.token] > 1:
            yield f"{request.token} left {left[request.token]} times"
        if not request.key and arrived[request.token] > 1:
            yield f"{request.token} was attempted {arrived[request.token]} times"
    kept = Counter(token_of(row.text) for row in look.seen.ours() if row.state not in GAVE_BACK)
    for request in look.seen.record.requests:
        if kept[request.token] > 1:
            yield f"{request.token} is kept as {kept[request.token]} messages"


def outcomes_are_true(look: Looking) -> Iterator[str]:
    """G3: what left is not called unsent; what is called accepted did leave."""
    left = {token_of(each.text) for each in look.seen.arrivals if each.accepted}
    states: dict[str, set[int]] = {}
    for row in look.seen.ours():
        states.setdefault(token_of(row.text), set()).add(row.state)
    for token, found in states.items():
        if not token:
            continue
        look.looked += 1
        if token in left and found <= GAVE_BACK:
            yield f"{token} left and is called unsent ({sorted(found)})"
        if token not in left and found - GAVE_BACK - OPEN - {UNKNOWN}:
            yield f"{token} never left and is called accepted ({sorted(found)})"
    for token in left - states.keys() - {""}:
        yield f"{token} left and is not in the ledger"


def never_outside_the_window(look: Looking) -> Iterator[str]:
    """G4: at the sockets, by the persons' own messages."""
    opened: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for written in look.seen.record.written:
        name = look.seen.names.get(written.instance_id, written.instance_id)
        opened.setdefault((name, written.phone), []).append((written.first_posted_at, written.provider_at))
    for arrival in look.seen.arrivals:
        look.looked += 1
        before = [
            provider
            for posted, provider in opened.get((arrival.instance, arrival.phone), [])
            if posted <= arrival.at
        ]
        what = token_of(arrival.text) or arrival.external_id
        if not before:
            yield f"{what} went to {arrival.phone}, who had never written"
        elif (late := arrival.at - max(before) - WINDOW_SECONDS + MARGIN_SECONDS) > look.slack:
            yield f"{what} left {late:.1f} s after the window, less its margin"


def windows_never_move_back(look: Looking) -> Iterator[str]:
    """G4: in the ledger."""
    kept = {(row.instance_id, row.person_id): row.last_inbound_at for row in look.seen.ledger.windows}
    people = look.seen.ledger.person_of
    latest: dict[tuple[str, str], float] = {}
    accounts = {row.instance_id: row.account_id for row in look.seen.ledger.messages}
    for written in look.seen.record.written:
        person = people.get((accounts.get(written.instance_id, ""), written.phone))
        if written.acknowledged_at is not None and person is not None:
            key = (written.instance_id, person)
            at = min(written.provider_at, written.first_posted_at)
            latest[key] = max(latest.get(key, 0.0), at)
    for key, at in latest.items():
        look.looked += 1
        if kept.get(key, 0.0) < at - NOTICING_SECONDS:
            yield f"the window of {key[1]} was moved back by {at - kept.get(key, 0.0):.0f} s"


def nothing_after_an_opt_out(look: Looking) -> Iterator[str]:
    """G5: at the sockets."""
    stops: dict[str, list[tuple[float, float]]] = {}
    for written in sorted(look.seen.record.written, key=lambda each: each.first_posted_at):
        held = stops.setdefault(written.phone, [])
        if written.text == "STOP" and written.acknowledged_at is not None:
            held.append((written.acknowledged_at, float("inf")))
        elif written.text == "START":
            held[:] = [(since, min(until, written.first_posted_at)) for since, until in held]
    notices: Counter[str] = Counter()
    for arrival in look.seen.arrivals:
        row = look.row_of(arrival)
        if row is None:
            notices[arrival.phone] += 1
            continue
        for since, until in stops.get(arrival.phone, []):
            look.looked += 1
            decided_after = row.created_at > since
            late = arrival.at > since + REACHES_SOCKETS_SECONDS + look.slack
            if arrival.at < until and (decided_after or late):
                yield f"{token_of(row.text)} left {arrival.at - since:.3f} s after an opt-out"
    words = Counter(each.phone for each in look.seen.record.written if each.text in {"STOP", "START"})
    for phone, count in notices.items():
        if count > words[phone]:
            yield f"{phone} got {count} notices for {words[phone]} words"


def nothing_while_paused(look: Looking) -> Iterator[str]:
    """G5: at the sockets."""
    for pause in look.seen.record.pauses:
        until = pause.lift_asked_at or float("inf")
        for arrival in look.seen.arrivals:
            row = look.row_of(arrival)
            if row is None or row.instance_id != pause.instance_id or arrival.at < pause.acknowledged_at:
                continue
            look.looked += 1
            decided_after = row.created_at > pause.acknowledged_at
            late = arrival.at > pause.acknowledged_at + REACHES_SOCKETS_SECONDS + look.slack
            if arrival.at < until and (decided_after or late):
                yield f"{token_of(row.text)} left {arrival.at - pause.acknowledged_at:.3f} s after a pause"


def opt_outs_are_kept(look: Looking) -> Iterator[str]:
    """G5: in the ledger, by each person's last acknowledged word."""
    last: dict[tuple[str, str], str] = {}
    accounts = {row.instance_id: row.account_id for row in look.seen.ledger.messages}
    for written in sorted(look.seen.record.written, key=lambda each: each.acknowledged_at or 0.0):
        if written.text in {"STOP", "START"} and written.acknowledged_at is not None:
            last[accounts.get(written.instance_id, ""), written.phone] = written.text
    held = {
        row.person_id
        for row in look.seen.ledger.suppressions
        if row.source == "person" and row.scope == "all" and not row.lifted
    }
    for place, word in last.items():
        look.looked += 1
        if (look.seen.ledger.person_of.get(place) in held) != (word == "STOP"):
            yield f"{place[1]} said {word} last, and the ledger says otherwise"


def quotas_are_exact(look: Looking) -> Iterator[str]:
    """G6: counted = kept, by the calendar of the account's zone, and never over the limit."""
    ledger = look.seen.ledger
    left = {token_of(each.text) for each in look.seen.arrivals if each.accepted}
    kept: Counter[tuple[str, str]] = Counter()
    sent: Counter[tuple[str, str]] = Counter()
    for row in look.seen.ours():
        if not row.reserved_day:
            continue
        look.looked += 1
        local = datetime.fromtimestamp(row.created_at, UTC).astimezone(
            ZoneInfo(ledger.accounts[row.account_id].zone)
        )
        if (f"{local:%Y-%m-%d}", f"{local:%Y-%m}") != (row.reserved_day, row.reserved_month):
            yield f"{row.message_id} of {local:%Y-%m-%d %H:%M} counts for {row.reserved_day}"
        for period in (row.reserved_day, row.reserved_month):
            kept[row.account_id, period] += row.state not in GAVE_BACK
            sent[row.account_id, period] += token_of(row.text) in left and row.state not in GAVE_BACK
    for key in sorted({*kept, *ledger.quota}):
        look.looked += 1
        account = ledger.accounts[key[0]]
        limit = account.daily_limit if len(key[1]) == 10 else account.monthly_limit
        if ledger.quota.get(key, 0) != kept[key]:
            yield f"{ledger.quota.get(key, 0)} are counted for {key[1]} of {key[0]}, {kept[key]} are kept"
        if max(kept[key], sent[key]) > limit:
            yield f"{max(kept[key], sent[key])} were admitted in {key[1]} of {key[0]}, {limit} are allowed"


def decisions_are_durable(look: Looking) -> Iterator[str]:
    """G7: every message has its decision, and each comes out the same when it is decided again."""
    named = {row.message_id: row for row in look.seen.ledger.decisions if row.message_id}
    messages = {row.message_id for row in look.seen.ledger.messages}
    for row in look.seen.ours():
        look.looked += 1
        decision = named.get(row.message_id)
        if decision is None or decision.log_id != row.log_id:
            yield f"{row.message_id} has no decision"
        elif decision.verdict != _ALLOW or decision.action != _SEND:
            yield f"{row.message_id} was not allowed by its decision {decision.log_id}"
    for message_id in named.keys() - messages:
        yield f"{message_id} was decided and is not there"
    for decision in look.seen.ledger.decisions:
        # The gateway's own notices are decided by fewer checks, which a replay does not know.
        if decision.caller == "gateway" or not decision.inputs_json:
            continue
        look.looked += 1
        again = replay(json.loads(decision.inputs_json))
        if (again.verdict, again.reason, again.action) != (
            decision.verdict,
            decision.reason,
            decision.action,
        ):
            yield f"decision {decision.log_id} comes out otherwise when it is decided again"


def nothing_without_the_database(look: Looking) -> Iterator[str]:
    """G8: with PostgreSQL gone nothing is accepted, and the caller is told when to come again."""
    gone = [each for each in look.seen.record.outages if each.what == "postgresql"]
    for request in look.seen.record.requests:
        for answer in request.answers:
            if not any(
                each.began_at <= answer.asked_at and answer.answered_at <= each.ended_at for each in gone
            ):
                continue
            look.looked += 1
            if 200 <= answer.status < 300:
                yield f"{request.token} was answered {answer.status} while PostgreSQL was gone"
            if answer.status == 503 and not answer.retry_after:
                yield f"{request.token} was not told when to come again"


def redis_costs_little(look: Looking) -> Iterator[str]:
    """G8: the median answer takes at most 50 ms longer while Redis is gone."""
    gone = [each for each in look.seen.record.outages if each.what == "redis"]
    if not gone:
        return
    usual: list[float] = []
    without: list[float] = []
    for request in look.seen.record.requests:
        for answer in request.answers:
            if answer.status != 200:
                continue
            inside = any(each.began_at <= answer.asked_at <= each.ended_at for each in gone)
            (without if inside else usual).append(answer.answered_at - answer.asked_at)
    if len(usual) < 20 or len(without) < 20:
        return
    look.looked += len(without)
    longer = sorted(without)[len(without) // 2] - sorted(usual)[len(usual) // 2]
    if longer > MOST_REDIS_COSTS_SECONDS:
        yield f"the median answer took {longer * 1000:.0f} ms longer without Redis"


Check = Callable[[Looking], Iterator[str]]

CHECKS: dict[str, tuple[Check, ...]] = {
    "G1": (nothing_answered_is_lost, what_came_in_goes_on),
    "G2": (webhooks_act_once,),
    "G3": (one_request_one_message, outcomes_are_true),
    "G4": (never_outside_the_window, windows_never_move_back),
    "G5": (nothing_after_an_opt_out, nothing_while_paused, opt_outs_are_kept),
    "G6": (quotas_are_exact,),
    "G7": (decisions_are_durable,),
    "G8": (nothing_without_the_database, redis_costs_little),
}
"""What is asked for each promise."""
