"""
Alembic's entry: prints the SQL of the migrations, or runs them on a connection that it is handed.

A migration waits a second for a lock and no longer: every webhook behind one that waits has to wait too, and after 1.8
seconds would be answered 503. `gateway.store.schema` tries again.
"""

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    bare = context.config.attributes.get("bare", False)
    context.configure(dialect_name="postgresql", as_sql=True, literal_binds=True, transactional_ddl=not bare)
else:
    context.configure(connection=connection)
with context.begin_transaction():
    context.execute("SET LOCAL lock_timeout = '1s'")
    context.execute("SET LOCAL statement_timeout = 0")
    context.run_migrations()
