"""G4, G5, G6 and G8: windows, opt-outs, pauses and quotas hold, and what goes on without Redis or PostgreSQL."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from faults.evidence import GAVE_BACK
from faults.looking import NOTICING_SECONDS, Looking, token_of

WINDOW_SECONDS = 86_400.0
MARGIN_SECONDS = 60.0
REACHES_SOCKETS_SECONDS = 1.0
"""How long an acknowledged opt-out or pause may take to the last socket."""
MOST_REDIS_COSTS_SECONDS = 0.05


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
    """G5: in the ledger, by each person's last word that was acknowledged, or recorded without anybody hearing so."""
    last: dict[tuple[str, str], str] = {}
    accounts = {row.instance_id: row.account_id for row in look.seen.ledger.messages}
    recorded = {(row.instance_id, row.external_id) for row in look.seen.ledger.messages if not row.outbound}
    words = [each for each in look.seen.record.written if each.text in {"STOP", "START"}]
    for written in sorted(words, key=lambda each: each.acknowledged_at or each.first_posted_at):
        if written.acknowledged_at is not None or (written.instance_id, written.external_id) in recorded:
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
