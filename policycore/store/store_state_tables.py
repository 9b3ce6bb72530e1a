"""The table that says which database a store lives in, and whether it may be used as it is."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, text

from policycore.store.schema import metadata
from policycore.store.types import Instant

store_state = Table(
    "store_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("home", String(200), nullable=False, server_default=""),
    Column("fence", Text, nullable=False, server_default=""),
    Column("numbers_above", BigInteger, nullable=False, server_default=text("0")),
    Column("restored_at", Instant),
)
"""One row. `home` names the database that the store was last used in. `fence`, unless empty, is one sentence that says
why no service may start on it. Numbers of decisions and events are given out above `numbers_above`.
"""
