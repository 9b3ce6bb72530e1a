"""A missed call becomes one decision under its own key, and is tried again only if nothing could be decided."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from policycore.errors import Unavailable
from policycore.model import Action, Decision, EventType, Source
from policycore.pbx import TOLD_WITHIN, HeldWatch, MissedCall, PbxLedger, PbxNews, PbxTarget, UntoldCall
from policycore.reasons import ReasonCode, Verdict
from policycore.registry.snapshot import Snapshot
from policycore.usecases.command import Decided, SubmitCommand
from policycore.usecases.tell_missed_calls import MissedCalls

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
HELD = HeldWatch(
    PbxTarget("int_1", "https://pbx.example.com", "900", "s"), "pcr_1", 1, NOW, False, timedelta(hours=1)
)


@dataclass
class KeptCalls:
    """The ledger, as far as telling needs it."""

    waiting: list[UntoldCall] = field(default_factory=list)
    taken: list[MissedCall] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    tried: list[tuple[str, str]] = field(default_factory=list)

    async def take_news(self, held: HeldWatch, news: PbxNews) -> int:
        self.taken += news.missed
        return len(news.missed)

    async def untold(self, held: HeldWatch, limit: int) -> Sequence[UntoldCall]:
        return self.waiting[:limit]

    async def note_told(self, call_id: str, outcome: str) -> None:
        self.told.append((call_id, outcome))

    async def note_tried(self, call: UntoldCall, outcome: str) -> None:
        self.tried.append((call.call_id, outcome))


@dataclass
class Deciding:
    """Decides as the test says, and keeps what it was asked."""

    verdict: Verdict = Verdict.ALLOW
    reason: ReasonCode = ReasonCode.ALLOWED
    error: Exception | None = None
    asked: list[SubmitCommand] = field(default_factory=list)

    async def submit(
        self, command: SubmitCommand, *, requests_per_minute: int | None, timeout_seconds: float
    ) -> Decided:
        assert requests_per_minute is None
        self.asked.append(command)
        if self.error is not None:
            raise self.error
        decision = Decision(
            verdict=self.verdict, reason=self.reason, action=Action.SEND, risk_score=0, findings=(),
            rules_version=1, explanation="", retry_after_seconds=None,
        )  # fmt: skip
        return Decided("dec_1", 1, NOW, decision, EventType.MISSED_CALL)


def desk(kept: KeptCalls, deciding: Deciding, *, known: bool = True) -> MissedCalls:
    integration = SimpleNamespace(account_id="acc_1", integration_id="int_1", country="SA")
    snapshot = SimpleNamespace(integrations={"int_1": integration} if known else {})
    return MissedCalls(cast("PbxLedger", kept), deciding, lambda: cast("Snapshot", snapshot), lambda: NOW)


def untold(**fields: Any) -> UntoldCall:
    ended = NOW - timedelta(seconds=30)
    return UntoldCall(
        **{
            "call_id": "pcl_1",
            "integration_id": "int_1",
            "caller": "+966500000001",
            "began_at": ended - timedelta(seconds=20),
            "ended_at": ended,
            "reached_dn": "150",
            "tries": 0,
            "found_at": NOW,
            **fields,
        }
    )


async def test_callers_are_kept_as_one_person_is_written() -> None:
    kept = KeptCalls()
    written = ("0500000001", "00966500000001", "+966500000001", "966500000001")
    calls = tuple(MissedCall(each, NOW, NOW, "150", False) for each in (*written, "12"))
    await desk(kept, Deciding()).take(HELD, PbxNews("watching", "", calls, NOW))
    assert [each.caller for each in kept.taken] == ["+966500000001"] * 4 + ["12"]


async def test_a_call_is_decided_like_a_webhooks_event_under_its_own_key() -> None:
    kept, deciding = KeptCalls([untold()]), Deciding()
    assert await desk(kept, deciding).tell(HELD) == 1
    [command] = deciding.asked
    intent = command.intent
    assert (intent.event_type, intent.source, intent.integration_id) == (
        EventType.MISSED_CALL,
        Source.THREECX,
        "int_1",
    )
    assert (intent.phone_text, intent.agent_extension, intent.call_time) == (
        "+966500000001",
        "150",
        "2026-03-01T11:59:30Z",
    )
    assert (command.key_scope, command.key, len(command.body_digest)) == ("pbx:int_1", "pcl_1", 32)
    assert kept.told == [("pcl_1", "allowed")]


async def test_a_refusal_is_final_and_what_could_not_be_decided_is_tried_again() -> None:
    kept = KeptCalls([untold()])
    await desk(kept, Deciding(Verdict.DENY, ReasonCode.RECIPIENT_SUPPRESSED)).tell(HELD)
    assert (kept.told, kept.tried) == ([("pcl_1", "recipient_suppressed")], [])
    kept = KeptCalls([untold()])
    await desk(kept, Deciding(Verdict.DEFER, ReasonCode.INSTANCE_NOT_CONNECTED)).tell(HELD)
    await desk(kept, Deciding(error=Unavailable("away"))).tell(HELD)
    assert (kept.told, [outcome for _, outcome in kept.tried]) == (
        [],
        ["instance_not_connected", "unavailable"],
    )


async def test_what_could_not_be_told_for_long_is_given_up() -> None:
    kept, deciding = KeptCalls([untold(found_at=NOW - TOLD_WITHIN - timedelta(seconds=1))]), Deciding()
    assert await desk(kept, deciding).tell(HELD) == 0
    assert (kept.told, deciding.asked) == ([("pcl_1", "given_up")], [])


async def test_an_integration_that_is_not_known_here_yet_waits() -> None:
    kept, deciding = KeptCalls([untold()]), Deciding()
    assert await desk(kept, deciding, known=False).tell(HELD) == 0
    assert (kept.told, kept.tried, deciding.asked) == ([], [], [])


async def test_an_error_of_ours_is_not_swallowed() -> None:
    with pytest.raises(ValueError, match="broken"):
        await desk(KeptCalls([untold()]), Deciding(error=ValueError("broken"))).tell(HELD)
