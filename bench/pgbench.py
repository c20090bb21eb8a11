"""The database's limit: pgbench inserts the same rows, with no server in front."""

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.children import BenchFailure, cpu_seconds
from bench.figures import per_webhook
from bench.place import Place, connection_parts
from bench.samples import template
from gateway.store import embedded

SINGLE = "pgbench, one INSERT each, 64 clients"
GROUPED = "pgbench, 64 rows per INSERT, 4 clients"

TPS = re.compile(r"tps = ([0-9.]+)")
DONE = re.compile(r"number of transactions actually processed: (\d+)")

# The body is made by the server, so nothing but the insert itself is measured; it is as long and as compressible.
ROWS = """
INSERT INTO inbox (site, connection, event_key, id, event_id, event_type, method, headers, query, body, received_at,
                   last_seen_at, remote_ip, proof, seen, outcome, due_at)
SELECT 'acme', 'paddle', 'evt_01' || key, gen_random_uuid(), 'evt_01' || key, 'transaction.completed', 'POST',
       convert_to(repeat('Paddle-Signature, ts=1, ', 8), 'UTF8'), '',
       decode('{body}', 'hex') || convert_to(key, 'UTF8'), now(), now(), '127.0.0.1', 'signature', 1, 'received', now()
FROM (SELECT substr(replace(gen_random_uuid()::text, '-', ''), 1, 24) AS key FROM generate_series(1, {rows})) AS new
ON CONFLICT (site, connection, event_key) DO UPDATE SET seen = inbox.seen + 1;
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """A way of inserting: so many rows per statement, by so many clients."""

    name: str
    rows: int
    clients: int


LIMITS = (Limit(SINGLE, 1, 64), Limit(GROUPED, 64, 4))


def program() -> str | None:
    """Return the path of pgbench: that of the embedded Postgres, else the system's."""
    bundled = embedded.find_binaries() / "pgbench"
    return str(bundled) if bundled.is_file() else shutil.which("pgbench")


def script(rows: int) -> str:
    """Return a script. The body is in hexadecimal, because pgbench takes a colon for the start of a variable."""
    body = b"".join(template()).hex()
    return ROWS.format(body=body, rows=rows).replace("\n", " ").strip() + "\n"


async def measured(place: Place, binary: str, url: str, limit: Limit) -> tuple[float, float]:
    """Return rows a second, and microseconds of Postgres' CPU per row."""
    path = place.folder / f"rows-{limit.rows}.sql"
    path.write_text(script(limit.rows))
    before = cpu_seconds([place.postmaster])
    said = await _run(place, binary, url, limit, path)
    spent = cpu_seconds([place.postmaster]) - before
    tps, done = TPS.search(said), DONE.search(said)
    if not tps or not done:
        raise BenchFailure(f"pgbench said:\n{said}")
    return float(tps[1]) * limit.rows, per_webhook(spent, int(done[1]) * limit.rows)


async def _run(place: Place, binary: str, url: str, limit: Limit, path: Path) -> str:
    parts = connection_parts(url)
    process = await asyncio.create_subprocess_exec(
        binary, "-n", "-M", "prepared", "-f", str(path), "-T", str(place.scale.pgbench_seconds),
        "-c", str(limit.clients), "-j", "1", "-h", parts["host"], "-U", parts["user"], parts["database"],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return said.decode()
