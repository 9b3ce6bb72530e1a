"""What all tables share: names of constraints, number sequences, the type of row numbers."""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Sequence, String

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

decision_log_ids = Sequence("decision_log_ids", metadata=metadata)
message_event_ids = Sequence("message_event_ids", metadata=metadata)

# SQLite numbers rows by itself only for INTEGER PRIMARY KEY.
RowNumber = BigInteger().with_variant(Integer, "sqlite")


def id_column() -> Column[str]:
    """The text id that most tables are keyed by."""
    return Column("id", String(64), primary_key=True)
