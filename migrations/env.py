"""Alembic's entry: the connection, already locked and in a transaction, comes from idp/storage/migration.py."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `idp migrate`: it takes the lock that keeps two nodes apart")
context.configure(connection=connection, transactional_ddl=True, transaction_per_migration=False)
context.run_migrations()
