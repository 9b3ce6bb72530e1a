"""What an inbound event means: window, opt-out, forwarding. Pure: event, facts and match in, effects out."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from policycore.inbound import ChatKind, InboundEvent, Message
from policycore.optout.match import Match, MatchKind

_MOST_CLOCK_OFFSET = timedelta(seconds=60)
"""Whoever took an event in hands it on within seconds; more than this between two clocks is a wrong clock."""


@dataclass(frozen=True, slots=True)
class PersonState:
    """What is known of a person before the event.

    `suppressed_by` is the source of the suppression of every purpose that holds (`person`, `administrator`,
    …) or None; `asked_back` is True while an ambiguous word waits for an answer.
    """

    suppressed_by: str | None = None
    marketing_suppressed: bool = False
    asked_back: bool = False


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one inbound message leads to."""

    opens_window_at: datetime | None = None
    suppress: bool = False
    suppress_marketing: bool = False
    lift_own_opt_out: bool = False
    lift_marketing_hold: bool = False
    ends_asking: bool = False
    reply: str | None = None
    forward: bool = False
    opted_out: bool = False


def opened_at(event: InboundEvent, received_at: datetime, now: datetime) -> datetime:
    """When the person wrote: on the provider's clock, never later than it was received or than now.

    `received_at` is on the clock of the process that took it in. If that is off, what counts is `now`, the database's
    clock: a message that was just written must not look as if it were a day old.
    """
    if abs(now - received_at) > _MOST_CLOCK_OFFSET:
        received_at = now
    return min(event.provider_time or received_at, received_at, now)


def is_from_person(event: InboundEvent) -> bool:
    """Whether the event is a message that the person wrote to the business in a direct chat."""
    return (
        isinstance(event.report, Message)
        and event.chat is ChatKind.DIRECT
        and not event.report.from_business
        and bool(event.person.identities())
    )


def language_of(text: str) -> str:
    """The language a text's script tells (`ar`, `ur`, `hi`), or "" where a script serves many languages."""
    arabic = sum("\u0600" <= letter <= "\u06ff" for letter in text)
    devanagari = sum("\u0900" <= letter <= "\u097f" for letter in text)
    if 2 * max(arabic, devanagari) <= sum(letter.isalpha() for letter in text) or not (arabic or devanagari):
        return ""
    if devanagari > arabic:
        return "hi"
    # Letters that Urdu writes and Arabic does not.
    return "ur" if any(letter in "\u0679\u0688\u0691\u06ba\u06d2\u06c1\u06be" for letter in text) else "ar"


def interpret(
    event: InboundEvent, state: PersonState, match: Match, received_at: datetime, now: datetime
) -> Meaning:
    """What a message from a person means. The window opens whatever it says; its text decides the rest.

    An opt-out suppresses at once, is confirmed once, and is not forwarded as a chat. An ambiguous word holds
    marketing, is asked back once, and goes to the agent. A START-type word lifts the person's own opt-out and
    nothing else.
    """
    opens = opened_at(event, received_at, now)
    if match.kind is MatchKind.OPT_OUT:
        already = state.suppressed_by == "person"
        return Meaning(
            opens_window_at=opens,
            suppress=not already,
            ends_asking=state.asked_back,
            reply=None if already else "opt_out",
            opted_out=True,
        )
    if match.kind is MatchKind.OPT_IN and (
        state.suppressed_by == "person" or state.marketing_suppressed or state.asked_back
    ):
        return Meaning(
            opens_window_at=opens,
            lift_own_opt_out=state.suppressed_by == "person",
            lift_marketing_hold=True,
            ends_asking=state.asked_back,
            reply="opt_in" if state.suppressed_by == "person" else None,
            forward=True,
        )
    if match.kind is MatchKind.AMBIGUOUS and not state.asked_back and state.suppressed_by is None:
        return Meaning(opens_window_at=opens, suppress_marketing=True, reply="clarify", forward=True)
    return Meaning(opens_window_at=opens, forward=True)
