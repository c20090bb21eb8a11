"""Alembic's entry: runs the migrations on the connection that `gateway.store.schema` hands it, or prints their SQL."""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(dialect_name="postgresql", as_sql=True, literal_binds=True)
else:
    context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
