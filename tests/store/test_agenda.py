"""When there is work: the soonest of each site, held sites at their next probe."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

import pytest
import pytest_asyncio
from lines import LEASE, MINUTE, claim, sold
from rows import NOON, webhook

from gateway.store import agenda, holds, inbox
from gateway.store.agenda import SiteAgenda
from gateway.store.pool import Database, open_database

PLACES = [("acme", "example"), ("acme", "sandbox"), ("globex", "example")]


@pytest_asyncio.fixture(name="database")
async def _database(database_url: str) -> AsyncIterator[Database]:
    database = await open_database(database_url, size=2)
    yield database
    await database.close()


async def read(database: Database, places: Sequence[tuple[str, str]] = PLACES) -> dict[str, tuple[object, object]]:
    async with database.reading() as connection:
        found = await agenda.read(connection, places)
    return {one.site: (one.read_at, one.deliver_at) for one in found}


async def test_a_site_with_nothing_to_do_has_no_times(database: Database) -> None:
    assert await read(database) == {"acme": (None, None), "globex": (None, None)}
    assert await read(database, []) == {}
    async with database.reading() as connection:
        (one,) = await agenda.read(connection, [("acme", "example")])
    assert one == SiteAgenda(site="acme", read_at=None, deliver_at=None)


async def test_the_soonest_of_each_sites_connections_counts(database: Database) -> None:
    async with database.transaction() as connection:
        await inbox.keep(
            connection,
            [
                webhook("evt_1", received_at=NOON + MINUTE),
                webhook("evt_2", connection="sandbox", received_at=NOON),
                webhook("evt_3", connection="gone", received_at=NOON - MINUTE),
                webhook("evt_4", site="globex", received_at=NOON + 2 * MINUTE),
            ],
        )
    await sold(database, "payment:p1")
    await sold(database, "payment:q1", site="globex", connection="example")
    await claim(database, site="globex")
    assert await read(database) == {"acme": (NOON, NOON), "globex": (NOON + 2 * MINUTE, NOON + MINUTE)}
    assert await read(database, [("acme", "example")]) == {"acme": (NOON + MINUTE, NOON)}
    assert await read(database, [("acme", "nothing")]) == {"acme": (None, None)}


@pytest.mark.parametrize(
    ("until", "probing", "deliver_at"),
    [
        (NOON + 5 * MINUTE, False, NOON + 5 * MINUTE),
        (NOON - MINUTE, False, NOON),
        (NOON - MINUTE, True, NOON + MINUTE),
        (None, False, None),
    ],
)
async def test_a_held_site_delivers_when_its_next_probe_is_due(
    database: Database, until: datetime | None, probing: bool, deliver_at: datetime | None
) -> None:
    await sold(database, "payment:p1")
    await sold(database, "payment:q1", site="globex")
    async with database.transaction() as connection:
        await holds.set_hold(connection, "acme", now=NOON, until=until, reason="quota")
        if probing:
            assert await holds.start_probe(connection, "acme", NOON, MINUTE)
    assert await read(database) == {"acme": (None, deliver_at), "globex": (None, NOON)}


async def test_a_held_site_without_deliveries_has_nothing_to_do(database: Database) -> None:
    async with database.transaction() as connection:
        await holds.set_hold(connection, "acme", now=NOON, until=NOON, reason="quota")
    assert await read(database) == {"acme": (None, None), "globex": (None, None)}


async def test_a_webhook_that_is_being_read_is_due_when_its_lease_ends(database: Database) -> None:
    async with database.transaction() as connection:
        await inbox.keep(connection, [webhook()])
        await inbox.claim(connection, "acme", ["example"], now=NOON, lease=LEASE, lease_for=MINUTE, limit=1)
    assert (await read(database))["acme"] == (NOON + MINUTE, None)
