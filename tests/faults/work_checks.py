"""G1, G2, G3 and G7: nothing is lost, nothing happens twice, and every decision is there."""

import json
from collections import Counter
from collections.abc import Iterator

from faults.evidence import GAVE_BACK, OPEN, UNKNOWN
from faults.looking import Looking, token_of
from policycore.decide_inputs import replay

_SEND, _ALLOW = 1, 1
_OF_INBOUND = frozenset({"message.received", "recipient.opted_out"})


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
