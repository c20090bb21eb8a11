"""Everything the gateway remembers, in Postgres. The only package that imports asyncpg."""
