"""The commands that look and tell: what they print where, and how they exit."""

import asyncio
import os
import pty
import subprocess

import asyncpg
import pytest
import typer

from gateway.cli import app
from tests.cli.commands import CONFIG, Folder, arguments, environment

READERS = [["serve", "--processes", "2"], ["check"], ["trace", "x"], ["replay"], ["holds"]]


def test_these_are_the_commands() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert set(group.commands) >= {
        "dev", "serve", "work", "migrate", "check", "trace", "simulate", "replay", "holds", "providers", "schema",
    }  # fmt: skip


async def test_every_mistake_of_the_configuration_is_listed_by_every_command(bare: Folder) -> None:
    bare.config.write_text(bare.config.read_text() + "one_mistake: 1\nanother_mistake: 2\n")
    for words, result in zip(READERS, await asyncio.gather(*(bare.run(*words) for words in READERS)), strict=True):
        assert (result.code, result.out) == (2, ""), words
        lines = result.err.splitlines()
        assert [line.rpartition(": unknown key")[0] for line in lines] == [
            "config.yaml:10: one_mistake",
            "config.yaml:11: another_mistake",
        ], words


async def test_check_json_lists_the_mistakes_as_json(bare: Folder) -> None:
    bare.config.write_text(bare.config.read_text() + "one_mistake: 1\n")
    result = await bare.run("check", "--json")
    assert result.code == 2
    assert result.json["ok"] is False
    (mistake,) = result.json["mistakes"]
    assert (mistake["file"], mistake["line"], mistake["path"]) == ("config.yaml", 10, "one_mistake")


async def test_the_configuration_may_be_named_by_the_environment(bare: Folder) -> None:
    bare.config.rename(bare.path / "other.yaml")
    result = await bare.run("trace", "x", FAURYA_GATEWAY_CONFIG="other.yaml")
    assert (result.code, result.err.partition("(")[0]) == (1, "error: the database cannot be used now ")


async def test_a_database_that_is_away_is_a_sentence_everywhere(bare: Folder) -> None:
    told, counted, checked = await asyncio.gather(
        bare.run("trace", "x"), bare.run("migrate", "--json"), bare.run("check", "--json")
    )
    for result in (told, counted):
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            "error: the database cannot be used now (ConnectionRefusedError): check that it runs, and database.url\n"
        )
    assert checked.code == 1
    problems = [finding for finding in checked.json["findings"] if finding["level"] == "problem"]
    assert [finding["about"] for finding in problems] == ["database"]


async def test_migrate_brings_an_empty_database_up_to_date(bare: Folder, empty_url: str) -> None:
    bare.config.write_text(CONFIG.format(port=bare.port, database=empty_url))
    refused, checked = await asyncio.gather(bare.run("serve"), bare.run("check"))
    assert (refused.code, checked.code) == (1, 1)
    assert "the schema is missing" in refused.err
    assert "run `faurya-gateway migrate`" in refused.err
    assert "run `faurya-gateway migrate`" in checked.out
    first = await bare.run("migrate")
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("The schema went from nothing to 0")
    again = await bare.run("migrate", "--json")
    assert (again.code, again.json["changed"]) == (0, False)
    connection = await asyncpg.connect(empty_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    newer, warned = await asyncio.gather(bare.run("migrate", "--json"), bare.run("check", "--json"))
    assert (newer.code, newer.json) == (0, {"from": "9999", "to": "9999", "changed": False})
    assert "newer than this version" in newer.err
    assert warned.code == 0
    assert [finding["about"] for finding in warned.json["findings"] if finding["level"] == "warning"] == ["database"]


async def test_what_needs_no_configuration_asks_for_none(bare: Folder) -> None:
    bare.config.unlink()
    sql, schema, plugins, table = await asyncio.gather(
        bare.run("migrate", "--sql"),
        bare.run("schema"),
        bare.run("providers", "--json"),
        bare.run("providers"),
    )
    assert (sql.code, "CREATE TABLE inbox" in sql.out) == (0, True)
    assert schema.json["title"] == "Faurya Gateway configuration"
    assert table.code == 0
    assert "example" in table.out
    by_name = {plugin["name"]: plugin for plugin in plugins.json}
    assert by_name["example"]["capabilities"] == ["checkout", "listing", "lookup", "stand-in"]
    assert by_name["paddle"]["capabilities"] == ["checkout", "listing", "probe", "lookup", "stand-in"]
    assert by_name["paddle"]["interface"] == 1
    assert {name: plugin["used_by"] for name, plugin in by_name.items() if plugin["used_by"]} == {}


async def test_providers_says_who_uses_them_and_survives_a_broken_configuration(bare: Folder) -> None:
    good = await bare.run("providers", "--json")
    assert {plugin["name"]: plugin["used_by"] for plugin in good.json}["example"] == ["acme/sandbox", "acme/example"]
    bare.config.write_text("sites: 1\n")
    broken = await bare.run("providers", "--json")
    assert broken.code == 0
    assert {plugin["name"]: plugin["used_by"] for plugin in broken.json}["example"] == []
    assert "`check` lists them" in broken.err


async def test_a_simulated_webhook_is_kept_and_traced(folder: Folder) -> None:
    async with folder.serving() as served:
        sent = await folder.run("simulate", "acme/sandbox", "refund", "--duplicate", "2", "--json")
        assert sent.code == 0, sent.err
        assert [answer["status"] for answer in sent.json["sent"]] == [200] * 3
        assert sent.json["next"] == f"faurya-gateway trace {sent.json['event_key']}"
        tampered, old, real = await asyncio.gather(
            folder.run("simulate", "acme/sandbox", "--tamper"),
            folder.run("simulate", "acme/sandbox", "--age", "4000", "--json"),
            folder.run("simulate", "acme/sandbox", "purchase", "--as-real", "--json"),
        )
        assert tampered.code == 0
        assert "401" in tampered.out
        assert tampered.out.rstrip().endswith("Next: faurya-gateway check")
        assert [result.json["expected_status"] for result in (old, real)] == [401, 200]
        assert [result.code for result in (old, real)] == [0, 0]
        await served.logged("webhook.read", 2)
        story, plain, unknown, elsewhere = await asyncio.gather(
            folder.run("trace", sent.json["event_key"], "--json"),
            folder.run("trace", real.json["event_key"], "--site", "acme"),
            folder.run("trace", "no-such-id", "--json"),
            folder.run("trace", "x", "--site", "nowhere"),
        )
    assert story.code == 0
    assert story.json["verdict"] == "not_revenue"
    (webhook,) = story.json["webhooks"]
    assert (webhook["seen"], webhook["outcome"], webhook["reason"]) == (3, "ignored", "simulated")
    assert plain.out.startswith("SKIPPED: The purchase of 49.00 USD is booked and not sent: it is test money")
    assert "49.00 USD" in plain.out.split("Revenue")[1]
    assert (unknown.code, unknown.json["verdict"]) == (1, "unknown")
    assert (elsewhere.code, "there is no site 'nowhere' (there are: acme)" in elsewhere.err) == (2, True)


async def test_simulate_says_when_the_gateway_does_not_answer_as_it_should(folder: Folder) -> None:
    nobody = await folder.run("simulate", "acme/sandbox", "--duplicate", "5", "--json")
    assert (nobody.code, nobody.json["as_expected"]) == (1, False)
    (answer,) = nobody.json["sent"]
    assert answer["status"] is None
    assert "start it with `faurya-gateway serve`" in answer["answer"]
    async with folder.serving():
        folder.config.write_text(folder.config.read_text().replace("whsec_made_up_sandbox", "whsec_another"))
        other, there = await asyncio.gather(
            folder.run("simulate", "acme/sandbox", "--json"),
            folder.run("simulate", "acme/sandbox", "--json", "--tamper", "--to", folder.url + "/"),
        )
    assert (other.code, other.json["expected_status"]) == (1, 200)
    assert [answer["status"] for answer in other.json["sent"]] == [401]
    assert (there.code, there.json["url"]) == (0, f"{folder.url}/webhooks/acme/sandbox")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("acme", "SITE/CONNECTION, such as acme/paddle"),
        ("acme/nothing", "is not a connection"),
        ("acme/example", "is live"),
    ],
)
async def test_simulate_refuses_what_it_may_not_or_cannot_do(bare: Folder, place: str, said: str) -> None:
    result = await bare.run("simulate", place, "--json")
    assert (result.code, result.out) == (2, "")
    assert said in " ".join(result.err.split())


async def test_check_finds_what_the_database_knows(folder: Folder, database_url: str) -> None:
    async with folder.serving():
        await folder.run("simulate", "acme/sandbox", "--tamper")
    database = await asyncpg.connect(database_url)
    await database.execute(
        "INSERT INTO holds (site, destination, since, reason) VALUES ('acme', 'faurya', now(), 'bad_key')"
    )
    await database.close()
    as_json = await folder.run("check", "--json", "--online")
    assert as_json.code == 1
    problems = {finding["about"]: finding for finding in as_json.json["findings"] if finding["level"] == "problem"}
    assert set(problems) == {"acme", "acme/sandbox"}
    assert problems["acme"]["reason"] == "bad_key"
    assert "no other secret of this gateway matches" in problems["acme/sandbox"]["doctor"]
    assert "cannot be proven without recording a sale" in as_json.out
    assert as_json.json["problems"] == 2


async def test_secrets_stay_out_of_what_is_printed(folder: Folder, database_url: str) -> None:
    async with folder.serving() as served:
        assert await served.send("quoted") == 200
        await served.logged("webhook.read")
    database = await asyncpg.connect(database_url)
    await database.execute(
        "INSERT INTO attempts (site, connection, revenue_key, destination, number, started_at, status_code, answer)"
        " VALUES ('acme', 'sandbox', 'payment:pay_quoted', 'faurya', 1, now(), 400, $1)",
        "acme-write-key is wrong \x1b[31m",
    )
    await database.close()
    for words in (["trace", "pay_quoted"], ["trace", "pay_quoted", "--json"]):
        result = await folder.run(*words)
        assert "*** is wrong" in result.out
        assert "acme-write-key" not in result.out
        assert "\x1b" not in result.out


def test_a_terminal_gets_tables_and_colour(folder: Folder) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        arguments("check"), cwd=folder.path, env=environment(TERM="xterm"), stdout=theirs, stderr=theirs, check=False
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    text = shown.decode()
    assert done.returncode == 0, text
    assert "\x1b[32m" in text
    assert "─" in text
