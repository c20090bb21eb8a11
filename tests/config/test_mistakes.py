"""
Every mistake that a file can have, with its line and what it says.

`mistakes.txt` is the table: a fact, what is replaced in the good file (-), by what (+), and every line of the report (=).
"""

from pathlib import Path

import pytest

from gateway.config import ConfigError, Mistake, PluginUnknown
from gateway.config.mistakes import shown


def cases():
    for block in (Path(__file__).parent / "mistakes.txt").read_text().split("\n\n"):
        title, *rows = block.strip("\n").split("\n")
        marked = {mark: [row[2:] for row in rows if row[0] == mark] for mark in "-+="}
        yield pytest.param("\n".join(marked["-"]), marked["+"], marked["="], id=title.removeprefix("## "))


@pytest.mark.parametrize(("old", "new", "expected"), list(cases()))
def test_a_mistake_has_its_line_and_says_what_to_do(lines, good, old, new, expected):
    assert good.count(old) == 1
    text = good.replace(old, "\n".join(new)) if new else good.replace(old + "\n", "")
    assert lines(text) == [f"config.yaml:{line}" for line in expected]


def test_mistakes_of_every_kind_are_reported_at_once(lines):
    text = """\
server: {port: 99999, pubic_url: x}
database:
  url: embedded
  url: twice
sites:
  one:
    origins: [https://shop.example]
    faurya: {api: revenue, url: "${NO_URL}", site_id: s, write_key: ""}
    providers:
      paddle: {environment: live, api_key: k, webhook_secrets: [same-secret], tolerance_seconds: 0}
      broken: {environment: sandbox, plugin: absent}
  two:
    origins: [HTTPS://SHOP.example/]
    faurya: {api: revenue, url: http://faurya.example, site_id: s, write_key: k}
    providers:
      paddle: {environment: sandbox, api_key: other, webhook_secrets: [x, " same-secret "], extra: 1}
    plans:
      pro: {provider: stripe, items: []}
"""
    assert lines(text) == [
        "config.yaml:1: server.port: must be at most 65535",
        "config.yaml:1: server.pubic_url: unknown key: did you mean public_url?",
        "config.yaml:3: database.url: embedded is not for live money (sites.one.providers.paddle is live): "
        "use a postgresql:// address, or set database.allow_embedded: true",
        "config.yaml:4: database.url: is given twice, here and in line 3: keep one",
        "config.yaml:8: sites.one.faurya.url: NO_URL is not set: set NO_URL in the environment or in .env, "
        "or give a default: ${NO_URL:-...}",
        "config.yaml:8: sites.one.faurya.write_key: is empty: a secret must have a value",
        "config.yaml:10: sites.one.providers.paddle.tolerance_seconds: must be at least 1",
        "config.yaml:11: sites.one.providers.broken.plugin: no such plugin is installed: pip install it",
        "config.yaml:13: sites.two.origins[0]: is also an origin of sites.one: an origin finds one site, keep it on one",
        "config.yaml:14: sites.two.faurya.url: must be https: the key would travel in the clear "
        "(http is only for this machine)",
        "config.yaml:16: sites.two.providers.paddle.claims: this and sites.one.providers.paddle (config.yaml:10) claim "
        "all sales and share an API key or a webhook secret, so each sale would be booked twice: "
        "use claims: own_checkouts, or list price and product ids",
        "config.yaml:16: sites.two.providers.paddle.extra: unknown key: remove it (known: api_key, claims, environment, "
        "forward, plugin, sweep, tolerance_seconds, webhook_secrets)",
        "config.yaml:18: sites.two.plans.pro.items: must have 1 or more entries",
        "config.yaml:18: sites.two.plans.pro.provider: names no connection of this site: it has paddle",
    ]


def test_secrets_are_in_no_mistake_and_no_error(lines, good, loaded):
    secrets = ("write-secret", "wrong-api-secret", "hook-secret", "db-secret", "crash-secret")
    text = good.replace("url: embedded", "url: mysql://u:db-secret@h/d").replace("sandbox", "moon")
    text = text.replace("    plans:", "      crashing: {environment: live, key: crash-secret}\n    plans:")
    environ = {"WRITE_KEY": "write-secret\nü", "API_KEY": "wrong-api-secret\n'\"", "WEBHOOK_SECRET": "hook-secret"}
    with pytest.raises(ConfigError) as caught:
        loaded(text, environ=environ)
    assert len(caught.value.mistakes) == 5
    assert caught.value.__context__ is None
    everything = f"{caught.value} {caught.value!r} {caught.value.mistakes!r}"
    assert not [secret for secret in secrets if secret in everything]


def test_a_mistake_shows_what_is_known_of_its_place():
    assert str(Mistake("config.yaml", 3, "server.port", "is wrong")) == "config.yaml:3: server.port: is wrong"
    assert str(Mistake("config.yaml", None, "", "cannot be read")) == "config.yaml: cannot be read"
    assert str(Mistake("config.yaml", 1, "", "is empty")) == "config.yaml:1: is empty"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("sites", "acme", "origins", 0), "sites.acme.origins[0]"),
        (("a b", "c"), '"a b".c'),
        (("sites", "line\nend\x1b"), 'sites."line\\nend\\u001b"'),
        (("sites", ""), 'sites.""'),
        (("sites", "x" * 80), f'sites."{"x" * 64}"'),
        ((), ""),
    ],
)
def test_a_path_is_one_line(path, expected):
    assert shown(path) == expected


def test_errors_say_what_they_are_without_a_message():
    assert str(PluginUnknown()).startswith("The plugin is not installed")
