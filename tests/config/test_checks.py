"""Mistakes that only two settings together make."""

import pytest

from gateway.config import refuse_embedded
from gateway.config.checks import Account, plan_prices, shared_accounts
from gateway.config.mistakes import Place, Report

LIVE = "config.yaml:4: database.url: embedded is not for live money (sites.acme.providers.paddle is live): "
OPEN = "config.yaml:5: database.url: embedded is for one machine, but server.host is reachable from others: "
REMEDY = "use a postgresql:// address, or set database.allow_embedded: true"


def account(name, *secrets, plugin="paddle", claims="all"):
    path = ("sites", name, "providers", "paddle")
    return Account(path=path, plugin=plugin, claims=claims, secrets=frozenset(secrets))


@pytest.mark.parametrize(
    ("accounts", "doubled"),
    [
        ([account("a", "key"), account("b", "key", "hook")], ["b"]),
        ([account("a", "k1", "hook"), account("b", "k2", "hook"), account("c", "k2", "x")], ["b", "c"]),
        ([account("a", "key"), account("b", "key"), account("c", "key")], ["b", "c"]),
        ([account("a", "key"), account("b", "other")], []),
        ([account("a"), account("b")], []),
        ([account("a", "key"), account("b", "key", plugin="stripe")], []),
        ([account("a", "key"), account("b", "key", claims="own_checkouts")], []),
        ([account("a", "key", claims=("pri_1",)), account("b", "key")], []),
        ([account("a", "key", claims=None), account("b", "key")], []),
    ],
)
def test_one_account_is_claimed_whole_by_one_connection(accounts, doubled):
    lines = {each.path: "config.yaml:7" for each in accounts}
    found = list(shared_accounts(accounts, lines))
    assert [path for path, _ in found] == [("sites", name, "providers", "paddle", "claims") for name in doubled]
    assert all(" (config.yaml:7) claim all sales" in message for _, message in found)


def test_an_account_does_not_show_its_secrets():
    assert "key-value" not in repr(account("a", "key-value"))


def test_two_connections_of_one_site_may_not_share_an_account_either(lines, good):
    second = """\
      again:
        plugin: paddle
        environment: sandbox
        claims: all
        api_key: other
        webhook_secrets: ["${WEBHOOK_SECRET}"]
    plans:
"""
    found = lines(good.replace("    plans:\n", second))
    assert len(found) == 1
    assert found[0].startswith(
        "config.yaml:22: sites.acme.providers.again.claims: this and sites.acme.providers.paddle "
    )
    shared = second.replace("claims: all", "claims: own_checkouts")
    assert lines(good.replace("    plans:\n", shared)) == []


def test_an_invalid_claim_is_not_taken_for_all(lines, good):
    second = (
        "      again: {plugin: paddle, environment: sandbox, claims: mine, api_key: k, "
        'webhook_secrets: ["${WEBHOOK_SECRET}"]}\n    plans:\n'
    )
    assert len(lines(good.replace("    plans:\n", second))) == 1


@pytest.mark.parametrize(
    ("server", "database", "environment", "expected"),
    [
        ("port: 1", "embedded", "sandbox", []),
        ("port: 1", "embedded", "live", [LIVE + REMEDY]),
        ("host: localhost", "embedded", "sandbox", []),
        ("host: 0.0.0.0\n  public_url: https://x.example", "embedded", "sandbox", [OPEN + REMEDY]),
        ("port: 1", "embedded\n  allow_embedded: true", "live", []),
        ("host: '::'\n  public_url: https://x.example", "embedded\n  allow_embedded: ${YES:-true}", "live", []),
        ("host: '::'\n  public_url: https://x.example", "postgresql://h/d", "live", []),
    ],
)
def test_the_embedded_database_is_for_sandbox_money_on_this_machine(
    lines, good, server, database, environment, expected
):
    text = good.replace("public_url: https://pay.example.com", server)
    text = text.replace("url: embedded", f"url: {database}").replace("sandbox", environment)
    assert lines(text) == expected


@pytest.mark.parametrize(
    ("host", "environment", "reasons"),
    [("127.0.0.1", "sandbox", 0), ("0.0.0.0", "sandbox", 1), ("127.0.0.1", "live", 1), ("gateway", "live", 2)],
)
def test_a_replaced_host_is_checked_again(loaded, good, host, environment, reasons):
    allowed = good.replace("url: embedded", "url: embedded\n  allow_embedded: true").replace("sandbox", environment)
    config = loaded(allowed)
    assert refuse_embedded(config) is None
    server = config.server.model_copy(update={"host": host})
    database = config.database.model_copy(update={"allow_embedded": False})
    refused = refuse_embedded(config.model_copy(update={"server": server, "database": database}))
    assert (refused or "").count("database.url: embedded") == reasons


@pytest.mark.parametrize(
    ("plan", "wrong"),
    [({"items": []}, None), ({"amount": {}}, None), ({}, "needs items"), ({"items": [], "amount": {}}, "has both")],
)
def test_a_plan_has_one_kind_of_price(plan, wrong):
    assert (plan_prices(plan) or "").startswith(wrong or "")
    assert (plan_prices(plan) is None) == (wrong is None)


@pytest.mark.parametrize(
    ("path", "reported"),
    [
        (("a", "b"), False),
        (("a", "b", "c"), False),
        (("a",), False),
        (("a", "bb"), True),
        (("b",), True),
    ],
)
def test_what_follows_from_a_broken_setting_is_not_reported(path, reported):
    report = Report()
    report.adopt({(): Place("config.yaml", 1), ("a",): Place("config.yaml", 2)}, [("a", "b")])
    report.add(path, "is wrong")
    assert bool(report.mistakes()) == reported
