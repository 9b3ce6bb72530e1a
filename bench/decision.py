"""What the parts of one decision cost in processor time, without a database: by part, over distinct replies."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from policycore.checks import build_checks
from policycore.content.load import load_scorer
from policycore.content.score import Scorer
from policycore.decide import decide
from policycore.decide_inputs import decision_inputs
from policycore.fair_use import periods
from policycore.ids import new_id
from policycore.ledger import PersonFacts, WindowRow
from policycore.model import EventType, Intent, Rules, Source
from policycore.phone import mask_phone, normalize_phone
from policycore.registry.snapshot import AccountConfig, InstanceConfig, IntegrationConfig, Snapshot
from policycore.store.findings import encode_findings, encode_json
from policycore.usecases.command import SubmitCommand
from policycore.usecases.gather import Gathered, facts_of, prepare

NOW = datetime(2026, 5, 8, 10, 0, 0, 123456, tzinfo=UTC)
BATCH = 32
ROUNDS = 7
"""The least of so many rounds counts: whatever else the machine does only adds."""

TEXTS = {
    "English": (
        "Hello, this is the service desk about your ticket. Our technician looked at the router and will call"
        " you back at extension 101 this afternoon."
    ),
    "Arabic": (
        "مرحبًا، معك فريق الدعم بخصوص طلبك. قام الفني بفحص جهاز التوجيه وسيتصل بك اليوم بعد الظهر"
        " على الرقم الداخلي 101 إن شاء الله."
    ),
}

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Desk:
    """An account with one integration and one connected instance, and persons who wrote an hour ago."""

    snapshot: Snapshot
    found: Gathered


def open_desk(persons: int) -> Desk:
    """A desk that `persons` persons wrote to."""
    rules = Rules()
    account = AccountConfig("acc_1", "Bench", ZoneInfo("Asia/Riyadh"), 10**8, 10**8, True, "en", rules)
    instance = InstanceConfig(
        "ins_1", "acc_1", "main", "sandbox", "", "", "", "", "", "", "open", NOW, None, 0.0, 1
    )
    integration = IntegrationConfig(
        "int_1", "acc_1", "3CX", True, False, (), (), "ins_1", ("ins_1",), True, True, True,
        "", "", "", "SA", 600, 900, "en",
    )  # fmt: skip
    snapshot = Snapshot(
        version=1,
        accounts={"acc_1": account},
        instances={"ins_1": instance},
        integrations={"int_1": integration},
        api_keys={},
        webhooks={},
        service_tokens={},
        pauses=(),
        instances_by_account={"acc_1": (instance,)},
        integrations_by_instance={"ins_1": (integration,)},
    )
    found = Gathered()
    for number in range(persons):
        person_id = f"per_{number:020d}"
        found.persons["acc_1", phone_of(number)] = person_id
        wrote = NOW - timedelta(hours=1, microseconds=number)
        found.person_facts[person_id] = PersonFacts((WindowRow("ins_1", wrote, "cnv_1", None),), None)
    return Desk(snapshot, found)


def phone_of(number: int) -> str:
    """The number of a person."""
    return f"+96650{number:07d}"


def reply_to(phone: str, text: str, conversation_id: str, integration_id: str = "int_1") -> Intent:
    """What an agent's reply asks for."""
    return Intent(
        account_id="acc_1",
        source=Source.THREECX,
        caller="edge",
        event_type=EventType.OUTBOUND_MESSAGE,
        integration_id=integration_id,
        phone_text=phone,
        text=text,
        purpose_text="support",
        conversation_id=conversation_id,
    )


class Timed:
    """Collects the cost of each part, in µs for one item; the least of all rounds counts."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self._round: dict[str, float] = {}

    def each(self, part: str, work: Callable[[_Item], _Made], items: Iterable[_Item]) -> list[_Made]:
        """Does `work` for every item; returns what it made."""
        given = list(items)
        began = time.process_time()
        made = [work(item) for item in given]
        self._round[part] = self._round.get(part, 0.0) + time.process_time() - began
        return made

    def end_round(self, items: int) -> None:
        """Keeps what was less than in every round before."""
        for part, seconds in self._round.items():
            taken = seconds / items * 1e6
            self.parts[part] = min(taken, self.parts.get(part, taken))
        self._round = {}


def measure(text: str, items: int = 2_048) -> dict[str, float]:
    """µs of one decision by part; every item of a round has a text and a person of its own."""
    timed, desk, score = Timed(), open_desk(items), load_scorer()
    for number in range(ROUNDS):
        for first in range(0, items, BATCH):
            # One moment for each batch, as the database's clock gives it.
            now = NOW + timedelta(milliseconds=20 * first)
            _one_batch(timed, desk, score, text + "." * number, range(first, first + BATCH), now)
        timed.end_round(items)
    return timed.parts


def _one_batch(
    timed: Timed, desk: Desk, score: Scorer, text: str, numbers: Sequence[int], now: datetime
) -> None:
    checks = build_checks(score)
    zone, rules = ZoneInfo("Asia/Riyadh"), desk.snapshot.accounts["acc_1"].rules
    intents = timed.each(
        "intent made",
        lambda number: reply_to(phone_of(number), f"{text} ({number})", f"3cx-chat-{number}"),
        numbers,
    )
    timed.each("content score", lambda intent: score(intent.text, 0), intents)
    timed.each("periods", lambda _: periods(now, zone), numbers)
    timed.each("phone", lambda intent: mask_phone(normalize_phone(intent.phone_text, "SA") or ""), intents)
    timed.each("two ids", lambda _: (new_id("dec_", os.urandom), new_id("msg_", os.urandom)), numbers)
    commands = [SubmitCommand(intent) for intent in intents]
    prepared = timed.each("prepare", lambda command: prepare(command, desk.snapshot, now), commands)
    facts = timed.each(
        "facts made",
        lambda item: facts_of(item, desk.found, desk.snapshot, now, clock_offset_seconds=0.0001)[0],
        prepared,
    )
    known = list(zip(intents, facts, strict=True))
    decided = timed.each("decide, with content", lambda one: decide(*one, rules, now, checks), known)
    stored = timed.each(
        "inputs made",
        lambda one: decision_inputs(*one[0], rules, now, one[1]),
        zip(known, decided, strict=True),
    )
    timed.each("inputs encoded", encode_json, stored)
    timed.each("findings encoded", lambda decision: encode_findings(decision.findings), decided)


def report() -> None:
    """Prints the parts for a text of each language."""
    for language, text in TEXTS.items():
        parts = measure(text)
        print(f"{language}, {len(text)} characters")
        for part, taken in parts.items():
            print(f"  {part:22} {taken:6.1f} µs")
        whole = sum(taken for part, taken in parts.items() if part not in INSIDE_OTHERS)
        print(f"  {'together':22} {whole:6.1f} µs")


INSIDE_OTHERS = ("intent made", "content score", "periods", "phone")
"""Parts that are measured alone and are part of others as well, or of the caller's work."""
