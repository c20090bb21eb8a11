"""`replay` as operators use it: shown, asked, done; on a terminal and without one."""

import asyncio
import os
import pty
import signal
from typing import Any

import asyncpg
import pytest

from tests.cli.commands import Folder, arguments, environment

LEDGER = """
INSERT INTO ledger (site, connection, revenue_key, plugin, kind, payment_id, carries_order, amount_minor, currency,
                    cumulative, items, attribution_source, test, source, occurred_at, booked_at)
SELECT 'acme', 'example', 'payment:p' || n, 'example', 'purchase', 'p' || n, false, 6500, 'USD', false, '{}', 'none',
       false, 'webhook', $2, $2 FROM generate_series(1, $1) AS n
"""
OUTBOX = """
INSERT INTO outbox (site, connection, revenue_key, destination, api, payment_id, is_sale, order_id_sent, basis,
                    amount_minor, amount_unit, currency, status, reason, attempts, spent, created_at)
SELECT 'acme', 'example', 'payment:p' || n, 'faurya', 'revenue', 'p' || n, true, 'p' || n, 'gross', 6500, 'minor',
       'USD', 'dead', 'schedule_exhausted', 13, 13, $2 FROM generate_series(1, $1) AS n
"""


async def dead(database_url: str, count: int) -> None:
    """Deliveries that were given up."""
    database = await asyncpg.connect(database_url)
    now = await database.fetchval("SELECT now()")
    await database.execute(LEDGER, count, now)
    await database.execute(OUTBOX, count, now)
    await database.close()


async def statuses(database_url: str) -> dict[str, int]:
    database = await asyncpg.connect(database_url)
    rows = await database.fetch("SELECT status, count(*) FROM outbox GROUP BY status")
    await database.close()
    return {row["status"]: row["count"] for row in rows}


def on_a_terminal(folder: Folder, *words: str, answer: str) -> tuple[int, str]:
    """Run a command on a terminal of its own and answer its question."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder.path)
        os.execve(arguments()[0], arguments(*words), environment(TERM="xterm"))
    shown, answered = b"", False
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        shown += chunk
        if b"[y/N]" in shown and not answered:
            os.write(terminal, answer.encode())
            answered = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


async def test_nothing_to_replay_is_fine(folder: Folder) -> None:
    plain, as_json = await asyncio.gather(folder.run("replay"), folder.run("replay", "--json", "--yes"))
    assert (plain.code, plain.out, plain.err) == (0, "There is nothing to replay.\n", "")
    assert as_json.code == 0
    assert as_json.json == {
        "known": True, "partial": False, "held": {}, "deliveries": [], "webhooks": [], "inherits": [],
        "left_alone": [], "applied": None,
    }  # fmt: skip


async def test_without_a_terminal_it_shows_and_changes_nothing(folder: Folder, database_url: str) -> None:
    await dead(database_url, 2)
    shown, as_json = await asyncio.gather(folder.run("replay"), folder.run("replay", "--json"))
    assert (shown.code, shown.err) == (
        2, "Nothing was changed: there is no terminal to ask on. Add --yes to replay what is listed.\n",
    )  # fmt: skip
    assert "dead: schedule_exhausted, 13 attempts (13 spent)" in shown.out
    assert "pending: due now, none spent" in shown.out
    assert (as_json.code, as_json.json["applied"], len(as_json.json["deliveries"])) == (0, None, 2)
    assert await statuses(database_url) == {"dead": 2}


async def test_with_yes_it_is_done_and_the_second_time_there_is_nothing(folder: Folder, database_url: str) -> None:
    await dead(database_url, 2)
    done = await folder.run("replay", "--id", "p1", "--yes")
    assert done.code == 0, done.err
    assert done.out.endswith("Taken up: 1 delivery. A running worker goes on within a second.\n")
    rest = await folder.run("replay", "--yes", "--json")
    assert (rest.code, rest.err) == (0, "")
    assert rest.json["applied"] == {"deliveries": 1, "webhooks": 0, "changed": 0}
    assert await statuses(database_url) == {"pending": 2}
    again = await folder.run("replay", "--id", "p1", "--yes")
    assert again.code == 0
    assert "it is on its way" in again.out
    assert again.out.endswith("There is nothing to replay. `faurya-gateway trace p1` tells its story.\n")


async def test_long_lists_are_cut_and_counted(folder: Folder, database_url: str) -> None:
    await dead(database_url, 31)
    shown, as_json = await asyncio.gather(folder.run("replay"), folder.run("replay", "--json"))
    assert "... and 1 more (31 in all); --json lists every one." in shown.out
    assert len(as_json.json["deliveries"]) == 31


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("n\n", 1, {"dead": 3}), ("\n", 1, {"dead": 3}), ("y\n", 0, {"pending": 3})]
)
async def test_a_person_is_asked(
    folder: Folder, database_url: str, answer: str, code: int, left: dict[str, int]
) -> None:
    await dead(database_url, 3)
    ended, shown = await asyncio.to_thread(on_a_terminal, folder, "replay", answer=answer)
    assert "Replay 3 deliveries? [y/N]" in shown
    assert (ended, "Nothing was changed." in shown) == (code, code == 1)
    assert ("Replaying" in shown) == (code == 0)
    assert await statuses(database_url) == left


async def test_stopped_by_a_person_it_says_how_far_it_came(folder: Folder, database_url: str) -> None:
    await dead(database_url, 2000)
    blocker = await asyncpg.connect(database_url)
    await blocker.execute("INSERT INTO sites (site, created_at) VALUES ('acme', now())")
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute("SELECT 1 FROM outbox WHERE revenue_key = 'payment:p1000' FOR UPDATE")
    process = await asyncio.create_subprocess_exec(
        *arguments("replay", "--yes"), cwd=folder.path, env=environment(), stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    observer = await asyncpg.connect(database_url)
    while not await observer.fetchval(waiting):
        assert process.returncode is None
        await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = await process.communicate()
    await transaction.rollback()
    await blocker.close()
    await observer.close()
    assert process.returncode == 1
    first = (await statuses(database_url)).get("pending", 0)
    assert said.decode() == (
        f"Stopped: {first} of 2000 are taken up, the rest is as it was. The same command goes on.\n"
    )
    assert first % 200 == 0
    assert (await folder.run("replay", "--yes", "--json")).json["applied"]["deliveries"] == 2000 - first
    assert await statuses(database_url) == {"pending": 2000}


async def test_what_cannot_be_replayed_is_a_problem(folder: Folder, database_url: str) -> None:
    await dead(database_url, 1)
    text = folder.config.read_text()
    folder.config.write_text(text.replace("{environment: live,", "{environment: live, forward: false,"))
    result, unknown, narrowed = await asyncio.gather(
        folder.run("replay", "--json", "--yes"),
        folder.run("replay", "--id", "no-such-id"),
        folder.run("replay", "--status", "rejected", "--status", "unreadable"),
    )
    assert (result.code, result.json["applied"]) == (1, None)
    (alone,) = result.json["left_alone"]
    assert (alone["why"], alone["is_problem"]) == ("not_sent_today", True)
    assert (unknown.code, unknown.out.startswith("No site of this gateway knows this id")) == (1, True)
    assert (narrowed.code, narrowed.out) == (0, "There is nothing to replay.\n")


async def test_what_makes_no_sense_is_a_usage_error(folder: Folder, database_url: str) -> None:
    await dead(database_url, 1)
    wrong: list[tuple[tuple[str, ...], str]] = [
        (("--site", "nowhere"), "there is no site 'nowhere' (there are: acme)"),
        (("--status", "recorded"), "'recorded' is not one of"),
        (("--since", "yesterday"), "'yesterday' is neither a time ago (12h, 7d) nor a date or time"),
        (("--since", "7"), "neither a time ago"),
        (("--since", "9999999d"), "neither a time ago"),
        (("--since", "0001-01-01T00:00+14:00"), "neither a time ago"),
        (("--attribute", "anna"), "name the sale with --id"),
        (("--attribute", "", "--id", "p1"), "must not be empty"),
        (("--attribute", "  ", "--id", "p1"), "must not be empty"),
        (("--attribute", "x" * 257, "--id", "p1"), "at most 256 are accepted"),
        (("--attribute", os.fsdecode(b"\xff"), "--id", "p1"), "NUL or a lone surrogate"),
        (("--attribute", "anna", "--id", "p1", "--status", "dead"), "not with --status or --since"),
        (("--attribute", "anna", "--id", "nothing"), "no site of this gateway knows this id"),
    ]
    results = await asyncio.gather(*(folder.run("replay", *words, "--json") for words, _ in wrong))
    for (words, said), result in zip(wrong, results, strict=True):
        assert (result.code, result.out) == (2, ""), (words, result.err)
        assert said in " ".join(result.err.replace("│", " ").split()), (words, result.err)
    assert await statuses(database_url) == {"dead": 1}


@pytest.mark.parametrize("since", ["7d", "2026-01-01T00:00:00+02:00"])
async def test_since_takes_a_time_ago_or_a_date(folder: Folder, database_url: str, since: str) -> None:
    await dead(database_url, 1)
    result = await folder.run("replay", "--since", since, "--json")
    assert len(result.json["deliveries"]) == 1


@pytest.mark.parametrize("query", ["🦄", os.fsdecode(b"\xff\xfe"), "x" * 100_000])
async def test_garbage_is_an_unknown_id(folder: Folder, query: str) -> None:
    result = await folder.run("replay", f"--id={query}", "--json")
    assert (result.code, result.json["known"], result.err) == (1, False, "")


async def test_a_sale_gets_its_visitor(folder: Folder, database_url: str) -> None:
    await dead(database_url, 1)
    result = await folder.run("replay", "--id", "p1", "--attribute", " anna ", "--yes")
    assert result.code == 0, result.err
    assert "visitor anna" in result.out
    database = await asyncpg.connect(database_url)
    row: Any = await database.fetchrow("SELECT visitor_id, attribution_source FROM ledger")
    await database.close()
    assert tuple(row) == ("anna", "operator")


async def test_an_unreadable_webhook_is_read_again_by_the_running_worker(folder: Folder, database_url: str) -> None:
    async with folder.serving() as served:
        assert await served.send("late") == 200
        await served.logged("webhook.read")
        database = await asyncpg.connect(database_url)
        for table in ("ledger", "outbox"):
            await database.execute(f"DELETE FROM {table}")
        await database.execute("UPDATE inbox SET outcome = 'unreadable', reason = 'malformed'")
        shown = await folder.run("replay", "--id", "evt_late")
        assert "unreadable: malformed" in shown.out
        assert "booked: payment:pay_late 49.00 USD" in shown.out
        assert await database.fetchval("SELECT count(*) FROM ledger") == 0
        done = await folder.run("replay", "--yes")
        assert done.out.endswith("Taken up: 1 webhook. A running worker goes on within a second.\n")
        await served.logged("webhook.read", 2)
        assert await database.fetchval("SELECT revenue_key FROM ledger") == "payment:pay_late"
        await database.close()
