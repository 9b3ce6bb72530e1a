"""The rules of a decision once more, written from the documents: the contract of reason codes, limits and opt-out.

Deliberately naive, and without a word of the product's checks.
"""

from dataclasses import dataclass, field, replace

PURPOSES = {"transactional", "operational", "support", "internal_team", "authentication"}
REPLIES = {"OUTBOUND_MESSAGE", "INBOUND_REPLY"}
RECORDED = {"TEST", "CALL_STARTED", "CHAT_ENDED"}
TEMPLATED = {"MISSED_CALL", "CALL_ENDED", "VOICEMAIL", "QUEUE_EVENT", "QUEUE_CALLBACK", "AFTER_HOURS"}
PAUSES = ("platform", "account", "instance", "integration", "person")
WATCHABLE = {"CONTENT", "COOL_DOWN", "QUOTA", "RATE"}
CHECKS = (
    *("TOGGLES", "PHONE", "TEXT", "PURPOSE", "SUPPRESSION", "WINDOW", "PAUSE"),
    *("CONTENT", "COOL_DOWN", "QUOTA", "INSTANCE", "RATE", "FACTS"),
)


@dataclass
class Case:
    """A request and what is true when it comes. Times are in seconds from now; None means absent or endless."""

    event: str = "OUTBOUND_MESSAGE"
    through_threecx: bool = True
    module: bool = True
    replies_on: bool = True
    calls_on: bool = True
    template_on: bool | None = None
    template_purpose: str = "support"
    phone_written: str = "+966500000000"
    phone_valid: bool = True
    text: str = "Hello"
    files: int = 0
    purpose: str = "support"
    suppressed_scope: str | None = None
    last_inbound: float | None = -60.0
    pauses: list[tuple[str, float | None]] = field(default_factory=list)
    score: int = 0
    cool_down: float | None = None
    day: tuple[int, int, float] | None = (100, 0, 3600.0)
    month: tuple[int, int, float] | None = (2000, 0, 86400.0)
    instance_state: str | None = "open"
    instance_is_sandbox: bool = False
    test_key: bool = False
    instance_wait: float = 0.0
    pair_wait: float = 0.0
    clock_offset: float = 0.0
    unreadable: set[str] = field(default_factory=set)
    watching: set[str] = field(default_factory=set)


@dataclass
class Refusal:
    """Why not, whether that is only "not now", and in how many seconds it passes, if anybody knows."""

    check: str
    reason: str
    later: bool = False
    passes: float | None = None


@dataclass
class Verdict:
    """What is to come out."""

    verdict: str
    reason: str
    action: str
    refusals: list[tuple[str, str]]
    retry_after: float | None


def expected(case: Case) -> Verdict:
    """The decision that the documents ask for."""
    wanted = set(CHECKS)
    sends_nothing = case.event in RECORDED or (case.event in TEMPLATED and not case.template_on)
    if sends_nothing:
        # Only its switches matter, and facts that no check names as its own.
        case = replace(case, unreadable=case.unreadable - (wanted - {"TOGGLES"}))
        wanted = {"TOGGLES", "FACTS"} if case.unreadable else {"TOGGLES"}
    refusals = []
    for check, rule in zip(CHECKS, RULES, strict=True):
        unread = Refusal(check, "FACTS_UNREADABLE", later=True) if check in case.unreadable else None
        if check in wanted and (found := unread or rule(case)):
            refusals.append(found)
    counting = [each for each in refusals if not (each.check in case.watching and each.check in WATCHABLE)]
    listed = [(each.check, each.reason) for each in refusals]
    if not counting:
        return Verdict("ALLOW", "ALLOWED", "RECORD" if sends_nothing else "SEND", listed, None)
    first = next((each for each in counting if not each.later), counting[0])
    known = [each.passes for each in counting if each.passes is not None]
    passes = max(known) if len(known) == len(counting) else first.passes
    seconds = None if passes is None else max(0.0, passes)
    action = "SKIP" if first.reason == "COOL_DOWN_ACTIVE" else "BLOCK"
    return Verdict("DEFER" if first.later else "DENY", first.reason, action, listed, seconds)


def toggles(case: Case) -> Refusal | None:
    if case.through_threecx and not case.module:
        return Refusal("TOGGLES", "MODULE_NOT_ENABLED")
    if case.event == "UNSUPPORTED":
        return Refusal("TOGGLES", "UNSUPPORTED_EVENT_TYPE")
    if case.event in REPLIES:
        return None if case.replies_on else Refusal("TOGGLES", "OUTBOUND_DISABLED")
    no_call = case.event in {"TEST", "CHAT_ENDED"}
    return None if case.calls_on or no_call else Refusal("TOGGLES", "CALL_EVENTS_DISABLED")


def phone(case: Case) -> Refusal | None:
    written = bool(case.phone_written.strip())
    if written and case.phone_valid:
        return None
    return Refusal("PHONE", "INVALID_PHONE" if written else "MISSING_PHONE")


def text(case: Case) -> Refusal | None:
    if len(case.text) > 4096:
        return Refusal("TEXT", "MESSAGE_TOO_LONG")
    if case.files:
        return Refusal("TEXT", "ATTACHMENTS_NOT_SUPPORTED")
    return None if case.text.strip() else Refusal("TEXT", "MISSING_MESSAGE_TEXT")


def purpose(case: Case) -> Refusal | None:
    words = [case.purpose.strip().casefold()]
    if case.event in TEMPLATED and case.template_on is not None:
        # A template has a purpose of its own; what the caller writes beside it must be allowed as well.
        words = [each for each in words if each] + [case.template_purpose.strip().casefold()]
    wrong = [word for word in words if word not in PURPOSES]
    if not wrong:
        return None
    return Refusal("PURPOSE", "PURPOSE_NOT_ALLOWED" if wrong[0] else "PURPOSE_MISSING")


def suppression(case: Case) -> Refusal | None:
    blocks = case.suppressed_scope is not None and case.suppressed_scope != "marketing"
    return Refusal("SUPPRESSION", "RECIPIENT_SUPPRESSED") if blocks else None


def window(case: Case) -> Refusal | None:
    if case.last_inbound is None:
        return Refusal("WINDOW", "WINDOW_NEVER_OPENED")
    open_still = min(case.last_inbound, 0.0) > -(24 * 3600 - 60)
    return None if open_still else Refusal("WINDOW", "WINDOW_EXPIRED")


def pause(case: Case) -> Refusal | None:
    holding = [each for each in case.pauses if each[1] is None or each[1] > 0]
    if not holding:
        return None
    widest = min(holding, key=lambda each: PAUSES.index(each[0]))[0]
    ends = [until for _, until in holding if until is not None]
    return Refusal(
        "PAUSE", f"{widest.upper()}_PAUSED", passes=max(ends) if len(ends) == len(holding) else None
    )


def content(case: Case) -> Refusal | None:
    return Refusal("CONTENT", "CONTENT_MARKETING") if case.score >= 80 else None


def cool_down(case: Case) -> Refusal | None:
    runs = case.event in TEMPLATED and case.cool_down is not None and case.cool_down > 0
    return Refusal("COOL_DOWN", "COOL_DOWN_ACTIVE", passes=case.cool_down) if runs else None


def quota(case: Case) -> Refusal | None:
    spent = [each for each in (case.day, case.month) if each is not None and each[1] >= each[0]]
    if spent:
        reason = "DAILY_QUOTA_SPENT" if spent[0] is case.day else "MONTHLY_QUOTA_SPENT"
        return Refusal("QUOTA", reason, passes=max(each[2] for each in spent))
    return None if case.day and case.month else Refusal("QUOTA", "FACTS_UNREADABLE", later=True)


def instance(case: Case) -> Refusal | None:
    if case.instance_state is None:
        return Refusal("INSTANCE", "INSTANCE_UNKNOWN")
    if case.test_key and not case.instance_is_sandbox:
        return Refusal("INSTANCE", "INSTANCE_NOT_FOR_TEST_KEY")
    return (
        None if case.instance_state == "open" else Refusal("INSTANCE", "INSTANCE_NOT_CONNECTED", later=True)
    )


def rate(case: Case) -> Refusal | None:
    longest = max(case.instance_wait, case.pair_wait)
    if longest <= 30:
        return None
    reason = "INSTANCE_RATE_LIMITED" if case.instance_wait > 30 else "PAIR_RATE_LIMITED"
    return Refusal("RATE", reason, later=True, passes=longest - 30)


def facts(case: Case) -> Refusal | None:
    if abs(case.clock_offset) > 60:
        return Refusal("FACTS", "CLOCK_UNTRUSTED", later=True)
    return Refusal("FACTS", "FACTS_UNREADABLE", later=True) if case.unreadable else None


RULES = (
    *(toggles, phone, text, purpose, suppression, window, pause),
    *(content, cool_down, quota, instance, rate, facts),
)
