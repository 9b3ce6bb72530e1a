"""The policy log in monthly partitions on PostgreSQL, indexes for those who search the logs, how far retention came.

Written out in full and never edited again: what is on disk somewhere was made by it. What would hold locks for long in
a large policy log is done before it (`policycore.store.online_steps`); without that it is right as well, and slower.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Microseconds since 1970.
_MOMENT = sa.BigInteger()
_MONTHS_AHEAD = 3
_LEAST_AHEAD = timedelta(days=28)
_BOUND = "decisions_before_"
"""Beginning of the name of a check that says, in microseconds, before when all rows were decided."""

_INDEXES = {
    "ix_decisions_account": "(account_id, log_id)",
    "ix_decisions_person": "(person_id, log_id)",
    "ix_decisions_integration": "(integration_id, log_id)",
}


def _month(moment: datetime, later: int = 0) -> datetime:
    """The beginning of a moment's month, or of one so many months later."""
    months = moment.year * 12 + moment.month - 1 + later
    return datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def _keep_unique(partition: str) -> None:
    op.execute(f"ALTER TABLE {partition} ADD CONSTRAINT pk_{partition} PRIMARY KEY (log_id)")
    op.execute(f"ALTER TABLE {partition} ADD CONSTRAINT uq_{partition}_id UNIQUE (id)")


def _known_bound() -> tuple[str, int] | None:
    """Name of the check that was made and found true beforehand, and its bound."""
    name = op.get_bind().scalar(
        sa.text(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'decisions'::regclass AND contype = 'c'"
            " AND convalidated AND starts_with(conname, :beginning)"
        ),
        {"beginning": _BOUND},
    )
    return None if name is None else (name, int(name.removeprefix(_BOUND)))


def _set_aside(now: datetime) -> tuple[str, datetime] | None:
    """Renames the table with all that hangs on it; its new name and the bound of its rows, or None if it was empty."""
    op.execute("LOCK TABLE decisions IN ACCESS EXCLUSIVE MODE")
    known = _known_bound()
    empty = not op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM decisions)"))
    bound = _microseconds(_month(now + _LEAST_AHEAD, 1)) if known is None else known[1]
    first_after = datetime.fromtimestamp(bound // 1_000_000, UTC)
    old = f"decisions_before_{first_after:%Y_%m}"
    op.execute(f"ALTER TABLE decisions RENAME TO {old}")
    op.execute(f"ALTER TABLE {old} RENAME CONSTRAINT pk_decisions TO pk_{old}")
    op.execute(f"ALTER TABLE {old} RENAME CONSTRAINT uq_decisions_id TO uq_{old}_id")
    for index, columns in _INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {old} {columns}")
        op.execute(f"ALTER INDEX {index} RENAME TO {index}_before")
    op.execute(f"CREATE TABLE decisions (LIKE {old} INCLUDING DEFAULTS) PARTITION BY RANGE (decided_at)")
    for index, columns in _INDEXES.items():
        op.execute(f"CREATE INDEX {index} ON decisions {columns}")
    if empty:
        op.execute(f"DROP TABLE {old}")
        return None
    # The check spares reading the whole table here: it says of all rows what the partition's bound says.
    op.execute(f"ALTER TABLE decisions ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO ({bound})")
    if known is not None:
        op.execute(f"ALTER TABLE {old} DROP CONSTRAINT {known[0]}")
    return old, first_after


def _partition_decisions() -> None:
    now = datetime.now(UTC)
    before = _set_aside(now)
    op.execute("CREATE TABLE decisions_default PARTITION OF decisions DEFAULT")
    _keep_unique("decisions_default")
    for later in range(_MONTHS_AHEAD + 1):
        first, end = _month(now, later), _month(now, later + 1)
        if before is not None and first < before[1]:
            continue
        name = f"decisions_{first:%Y_%m}"
        span = f"FROM ({_microseconds(first)}) TO ({_microseconds(end)})"
        op.execute(f"CREATE TABLE {name} PARTITION OF decisions FOR VALUES {span}")
        _keep_unique(name)


def upgrade() -> None:
    op.create_table(
        "retention_progress",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("texts_until", _MOMENT, nullable=False),
        sa.Column("messages_until", _MOMENT, nullable=False),
        sa.Column("looked_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("account_id", name="pk_retention_progress"),
    )
    op.create_index("ix_refusals_target", "refusals", ["target", "minute"])
    op.create_index("ix_audit_entries_account", "audit_entries", ["account_id", "id"])
    op.execute("CREATE INDEX IF NOT EXISTS ix_outbox_integration ON outbox (integration_id, number)")
    bindings = "conversation_bindings (person_id)"
    op.execute(f"CREATE INDEX IF NOT EXISTS ix_conversation_bindings_person_id ON {bindings}")
    if op.get_bind().dialect.name == "postgresql":
        _partition_decisions()
    else:
        op.create_index("ix_decisions_integration", "decisions", ["integration_id", "log_id"])


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the partitions; restore a backup instead.")
