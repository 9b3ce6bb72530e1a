"""Alembic's entry: runs the migrations on the connection that `policycore.store.migrate` opened."""

from alembic import context

from policycore.store import tables


def run() -> None:
    """Runs what is pending, in the transaction the caller began: all of it holds, or none."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=tables.accounts.metadata, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()


run()
