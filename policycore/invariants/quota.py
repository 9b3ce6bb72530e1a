"""What quotas say was used is what messages hold: days by their messages, months by their days. Pure."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from policycore.evidence import Usage, Violation

NAME = "quota"


def check(usages: Sequence[Usage]) -> list[Violation]:
    """One violation for each account and period whose two numbers differ."""
    return [
        Violation(
            NAME,
            f"{usage.account_id} {usage.period}",
            usage.account_id,
            f"{usage.used} messages are counted in {usage.period}, and {usage.held} hold it.",
        )
        for usage in usages
        if usage.used != usage.held
    ]


def open_days(now: datetime) -> list[date]:
    """The days that are today or were yesterday somewhere: what is counted in them may still change."""
    today = now.astimezone(UTC).date()
    return [today + timedelta(days=offset) for offset in (-2, -1, 0, 1)]


def span_of(day: date) -> tuple[datetime, datetime]:
    """From when to when it may be `day` anywhere: time zones lie between 14 h before and 12 h behind UTC."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return midnight - timedelta(hours=14), midnight + timedelta(hours=36)


def days_of_month(day: date) -> list[str]:
    """The names of all days of the month that holds `day`."""
    first = day.replace(day=1)
    names = [first + timedelta(days=count) for count in range(31)]
    return [each.isoformat() for each in names if each.month == first.month]
