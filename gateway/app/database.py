"""Opening the database that the configuration names, and seeing that its schema fits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.config import Config
from gateway.store import embedded
from gateway.store.pool import Database, open_database
from gateway.store.schema import check_schema, migrate
from gateway.telemetry import log


@asynccontextmanager
async def database_url(config: Config) -> AsyncIterator[str]:
    """Yield the address of the database; the embedded one runs at least until the end of the block."""
    if not config.database.embedded:
        yield config.database.url.get_secret_value()
        return
    async with await embedded.start(config.database.data_dir) as server:
        yield server.url


@asynccontextmanager
async def opened_database(config: Config, *, size: int | None = None) -> AsyncIterator[Database]:
    """
    Yield the database with a schema that fits. The embedded one is migrated here, nobody else is asked.

    With `size`, which commands give, it is opened for few and large questions.

    Raises `SchemaTooOld`, `StoreUnavailable` or an `EmbeddedError`.
    """
    async with database_url(config) as url:
        if config.database.embedded:
            await migrate(url)
        database = await open_database(
            url,
            size=size or config.database.pool_size,
            pgbouncer=config.database.pgbouncer,
            plans_each=size is not None,
        )
        try:
            warning = await check_schema(database)
            if warning:
                log().warning("database.schema_newer", detail=warning)
            yield database
        finally:
            await database.close()
