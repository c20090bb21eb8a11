"""`holds` as operators use it."""

import asyncio

import asyncpg

from tests.cli.commands import Folder


async def test_a_site_is_held_listed_and_lifted(folder: Folder) -> None:
    nothing = await folder.run("holds")
    assert (nothing.code, nothing.out, nothing.err) == (0, "No site is on hold.\n", "")
    held = await folder.run("holds", "set", "acme", "--reason", "Faurya moves")
    assert (held.code, held.err) == (0, "")
    assert held.out == "acme is on hold until somebody lifts it: faurya-gateway holds lift acme.\n"
    listed, as_json, again = await asyncio.gather(
        folder.run("holds", "list"), folder.run("holds", "--json"), folder.run("holds", "set", "acme", "--json")
    )
    assert (listed.code, as_json.code, again.code) == (1, 1, 0)
    assert "until lifted" in listed.out
    assert "somebody put the site on hold: Faurya moves" in listed.out
    assert listed.out.rstrip().endswith("To let a site go on: faurya-gateway holds lift SITE")
    (hold,) = as_json.json
    assert (hold["site"], hold["reason"], hold["note"], hold["next_probe_at"]) == (
        "acme", "operator", "Faurya moves", None,
    )  # fmt: skip
    assert again.json == {"site": "acme", "held": True, "before": "operator"}
    lifted = await folder.run("holds", "lift", "acme")
    assert (lifted.code, lifted.out) == (0, "Lifted: acme. Deliveries go on where a worker runs.\n")
    twice, every = await asyncio.gather(
        folder.run("holds", "lift", "acme"), folder.run("holds", "lift", "--all", "--json")
    )
    assert (twice.code, twice.out) == (0, "acme was not on hold.\n")
    assert (every.code, every.json) == (0, {"lifted": []})


async def test_holds_of_sites_that_are_gone_are_marked_and_lifted(folder: Folder, database_url: str) -> None:
    database = await asyncpg.connect(database_url)
    await database.execute(
        "INSERT INTO holds (site, destination, since, until, reason, probe_until) VALUES"
        " ('oldco', 'faurya', now(), NULL, 'operator', NULL),"
        " ('acme', 'faurya', now(), now() + interval '1 hour', 'bad_key', now() + interval '1 minute')"
    )
    await database.close()
    listed = await folder.run("holds")
    assert listed.code == 1
    assert "oldco (not configured any more)" in listed.out
    assert "  now  " in listed.out
    taken = await folder.run("holds", "set", "acme")
    assert "It was held already (bad_key); that hold is yours now." in taken.out
    lifted = await folder.run("holds", "lift", "--all")
    assert (lifted.code, lifted.out) == (0, "Lifted: acme, oldco. Deliveries go on where a worker runs.\n")
    assert (await folder.run("holds", "lift", "--all")).out == "No site was on hold.\n"


async def test_what_cannot_be_is_a_usage_error(folder: Folder) -> None:
    wrong = [
        (("holds", "set", "nowhere"), "there is no site 'nowhere' (there are: acme)"),
        (("holds", "lift", "nowhere"), "there is no site 'nowhere' (there are: acme)"),
        (("holds", "lift"), "name a site, or say --all"),
        (("holds", "lift", "acme", "--all"), "name a site, or say --all"),
        (("holds", "set", "acme", "--reason", "x" * 201), "at most 200 are accepted"),
    ]
    results = await asyncio.gather(*(folder.run(*words, "--json") for words, _ in wrong))
    for (words, said), result in zip(wrong, results, strict=True):
        assert (result.code, result.out) == (2, ""), words
        assert said in " ".join(result.err.replace("│", " ").split()), words
