"""`providers --check`: the quick rules on an installed plugin, with made-up settings."""

import json

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.providers_check import check_plugin, subject_of
from gateway.conformance import quick
from providers import example, paddle
from tests.conformance.faulty import AcceptsTheFuture
from tests.conformance.variations import Unsigned, plugin_of


def run(*arguments: str):
    return CliRunner().invoke(app, ["providers", *arguments])


def test_a_plugin_that_keeps_the_rules_ends_with_0_and_a_table() -> None:
    done = run("--check", "example")
    assert done.exit_code == 0, done.output
    assert "a future webhook is refused" in done.stdout
    assert "0 broken" in done.stdout


def test_json_has_every_quick_rule_and_nothing_else_on_stdout() -> None:
    done = run("--check", "example", "--json")
    assert done.exit_code == 0
    results = json.loads(done.stdout)
    assert [result["rule"] for result in results] == [rule.name for rule in quick()]
    assert {result["kept"] for result in results} == {True, None}


def test_an_unknown_plugin_is_a_usage_mistake() -> None:
    done = run("--check", "no-such-plugin")
    assert type(done.exception).__name__ == "PluginUnknown"


@pytest.mark.parametrize("plugin", [example.plugin, paddle.plugin])
def test_made_up_settings_are_accepted_and_have_two_secrets(plugin) -> None:
    subject = subject_of(plugin)
    plugin.config_model.model_validate(subject.settings)
    assert len(set(subject.secrets)) == 2


class Registry:
    """An installation that has one plugin."""

    def __init__(self, plugin):
        self._plugin = plugin

    def plugin(self, _name):
        return self._plugin


@pytest.mark.parametrize("as_json", [False, True])
def test_a_broken_rule_is_shown_with_its_reason_and_ends_with_1(as_json, capsys) -> None:
    import typer

    with pytest.raises(typer.Exit) as ended:
        check_plugin("faulty", as_json=as_json, registry=Registry(plugin_of(AcceptsTheFuture)))
    assert ended.value.exit_code == 1
    out = capsys.readouterr().out
    if as_json:
        (broken,) = [result for result in json.loads(out) if result["kept"] is False]
        assert broken["rule"] == "a_future_webhook_is_refused"
        assert broken["evidence"][0]["came_back"].startswith("Accepted(")
    else:
        assert "why:       A timestamp of next year" in out
        assert "1 broken" in out


def test_a_provider_without_secrets_is_held_against_the_rules_of_such(capsys) -> None:
    check_plugin("unsigned", as_json=True, registry=Registry(plugin_of(Unsigned)))
    results = {result["rule"]: result["kept"] for result in json.loads(capsys.readouterr().out)}
    assert results["an_unsigned_body_is_not_believed"] is True
    assert results["a_failed_fetch_is_unavailable"] is True
    assert results["garbage_is_refused"] is None
