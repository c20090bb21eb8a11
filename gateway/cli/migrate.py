"""`faurya-gateway migrate`: the database's schema."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, AsJson, ConfigPath
from gateway.cli.output import complain, say, show_json

if TYPE_CHECKING:
    from gateway.config import Config

Sql = Annotated[bool, typer.Option("--sql", help="Print the SQL of the whole schema and change nothing.")]


def migrate(config: ConfigPath = CONFIG, sql: Sql = False, as_json: AsJson = False) -> None:
    """Bring the database's schema up to date. `serve` and `work` refuse an older one; an embedded one needs nothing."""
    if sql:
        _print_sql(as_json=as_json)
        return
    _, loaded = load(config)
    before, after = asyncio.run(_migrate(loaded))
    if as_json:
        show_json({"from": before, "to": after, "changed": before != after})
    elif before == after:
        say(f"The schema is up to date: {after}.")
    else:
        say(f"The schema went from {before or 'nothing'} to {after}.")


def _print_sql(*, as_json: bool) -> None:
    from gateway.store.schema import migration_sql, needed_revision

    text = migration_sql()
    if as_json:
        show_json({"to": needed_revision(), "sql": text})
    else:
        typer.echo(text)


async def _migrate(config: "Config") -> tuple[str | None, str | None]:
    from gateway.app.database import database_url
    from gateway.store.pool import open_database
    from gateway.store.schema import current_revision, known_revisions
    from gateway.store.schema import migrate as bring_up_to_date

    async with database_url(config) as url:
        database = await open_database(url, size=1, pgbouncer=config.database.pgbouncer)
        try:
            before = await current_revision(database)
            if before is not None and before not in known_revisions():
                complain(f"The schema {before} is newer than this version of the program; it is left as it is.")
                return before, before
            await bring_up_to_date(url)
            return before, await current_revision(database)
        finally:
            await database.close()
