"""What batches add to, and give back to, the counts of messages by calendar period."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from policycore.store.batch_values import Rows
from policycore.store.tables import quota_usage


def quota_rows(quota: dict[tuple[str, str], int]) -> Rows:
    """What is added to (or, with negative numbers, given back to) the counts of (account id, period)."""
    rows = [
        {"account_id": account, "period": period, "used": count}
        for (account, period), count in sorted(quota.items())
    ]
    return Rows(quota_usage, rows, adds="used", returns=("account_id", "period", "used"))


def reserved_quota(messages: Iterable[Row[Any]], each: int) -> Rows:
    """`each` for every period that a message named when it was decided, whatever the calendar says by now."""
    quota: dict[tuple[str, str], int] = {}
    for row in messages:
        for period in (row.reserved_day, row.reserved_month):
            for counted_under in (row.account_id, row.reserved_share):
                if period and counted_under:
                    quota[counted_under, period] = quota.get((counted_under, period), 0) + each
    return quota_rows(quota)
