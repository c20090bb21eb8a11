"""
Every mistake that a file can have, with its line and what it says.

`mistakes.txt` is the table: a fact, what is replaced in the good file (-), by what (+), and the report (=).
"""

from pathlib import Path

import pytest

from gateway.config import ConfigError, Mistake, PluginUnknown
from gateway.config.mistakes import shown

HERE = Path(__file__).parent


def cases():
    for block in (HERE / "mistakes.txt").read_text().split("\n\n"):
        title, *rows = block.strip("\n").split("\n")
        marked = {mark: [row[2:] for row in rows if row[0] == mark] for mark in "-+="}
        yield pytest.param("\n".join(marked["-"]), marked["+"], marked["="], id=title.removeprefix("## "))


@pytest.mark.parametrize(("old", "new", "expected"), list(cases()))
def test_a_mistake_has_its_line_and_says_what_to_do(lines, good, old, new, expected):
    assert good.count(old) == 1
    text = good.replace(old, "\n".join(new)) if new else good.replace(old + "\n", "")
    assert lines(text) == [f"config.yaml:{line}" for line in expected]


def test_mistakes_of_every_kind_are_reported_at_once(lines):
    text = (HERE / "all_at_once.yaml").read_text()
    expected = [line.removeprefix("#= ") for line in text.splitlines() if line.startswith("#= ")]
    assert lines(text) == [f"config.yaml:{line}" for line in expected]


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
