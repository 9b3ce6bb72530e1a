"""What identifies a report of a CRM template, which carries no id, and which reports are of one call. Pure.

A call of a ring group or a queue may be reported once for each agent. The reports of a missed call are therefore
folded by number and time; all others are told apart by agent, number, kind of call and the second it began.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from hashlib import sha256

from msgspec import Struct


class ReportedCall(IntEnum):
    """What a template says of a call; numbers as in `policy_service.proto`. NONE stands for a chat."""

    NONE = 0
    MISSED = 1
    INBOUND = 2
    OUTBOUND = 3
    NOT_ANSWERED = 4


class CrmReport(Struct, frozen=True):
    """One report. `started_at` is None if the phone system wrote no date that has one meaning."""

    call: ReportedCall
    started_at: datetime | None = None


class Group(Struct, frozen=True):
    """Reports of one call: when the first of them says it began, and the key they share."""

    at: datetime
    key: str


MOST_GROUPS = 32
"""Calls of one caller that are remembered; of more, those that began last."""


def subject_of(report: CrmReport, number: str, agent: str) -> bytes:
    """What the report is about, but for the time: the number, and unless the call was missed, the agent.

    `number` is E.164, or what the phone system wrote where that is no possible number.
    """
    parts = [report.call.name, number]
    if report.call is not ReportedCall.MISSED:
        parts.append(agent)
    return sha256("\0".join(parts).encode()).digest()


def needs_folding(report: CrmReport) -> bool:
    """Whether only the reports before it tell which call it is about."""
    return report.call is ReportedCall.MISSED or report.started_at is None


def key_of(subject: bytes, at: datetime) -> str:
    """The idempotency key of a call that began at `at`, to the second."""
    return f"crm:{sha256(subject + str(int(at.timestamp())).encode()).hexdigest()}"


def fold(
    groups: Sequence[Group], subject: bytes, at: datetime, within: timedelta
) -> tuple[Group, Sequence[Group]]:
    """The group that a report of `at` belongs to, and the groups as they are then.

    It is the nearest whose first report lies at most `within` away, the earlier of two; else a new one. A group is
    never moved by those who join it, so that no chain of calls becomes one.
    """
    moment = at.replace(microsecond=0)
    near = [group for group in groups if abs(group.at - moment) <= within]
    if near:
        return min(near, key=lambda group: (abs(group.at - moment), group.at)), groups
    made = Group(moment, key_of(subject, moment))
    kept = sorted((*groups, made), key=lambda group: group.at)[-MOST_GROUPS:]
    return made, kept
