"""A switch on integrations: whether the webhook secret may come in the query, from webhook generators.

Written out in full and never edited again: what is on disk somewhere was made by it.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    switch: sa.Column[bool] = sa.Column(
        "query_token_enabled", sa.Boolean(), server_default=sa.false(), nullable=False
    )
    op.add_column("integrations", switch)


def downgrade() -> None:
    raise RuntimeError("There is no way back behind the switches set since; restore a backup instead.")
