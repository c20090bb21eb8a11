"""The JSON Schema that editors use."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from gateway.config import PluginUnknown, schema

REPOSITORY = Path(__file__).parents[2]
PADDLE = "sites.acme.providers.paddle"
PLUGINS = ["paddle", "loose", "open"]


@pytest.fixture(name="wrong")
def _wrong(models):
    validator = Draft202012Validator(schema(models, PLUGINS))

    def wrong(text):
        """Return where, in a YAML text, the schema finds something wrong."""
        errors = validator.iter_errors(YAML(typ="safe", pure=True).load(text))
        return {".".join(str(part) for part in error.absolute_path) for error in errors}

    return wrong


def test_the_schema_is_a_valid_schema(models):
    Draft202012Validator.check_schema(schema(models, PLUGINS))
    Draft202012Validator.check_schema(schema(models, []))


def test_a_good_file_has_no_errors(wrong, good):
    assert wrong(good) == set()


def test_the_repositorys_own_file_has_no_errors(wrong):
    assert wrong((REPOSITORY / "config.yaml").read_text()) == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("public_url: https://pay.example.com", "port: ${PORT}\n  require_https: ${YES:-true}\n  body_deadline: ${D}"),
        ("url: embedded", "url: ${DATABASE_URL:-embedded}\n  pool_size: ${file:/size}"),
        ("api: revenue", "api: revenue\n      currencies: ${C}\n      amount: ${A}\n      forward_test: ${T:-true}"),
        ("environment: sandbox", "environment: ${E:-sandbox}\n        tolerance_seconds: ${T}\n        claims: ${C}"),
        ("environment: sandbox", "environment: sandbox\n        plugin: paddle\n        claims: [pri_1]"),
        ("environment: sandbox", "environment: sandbox\n        plugin: ${PLUGIN}"),
        ("      paddle:\n", "      eu: {plugin: open, environment: live, anything: 1}\n      paddle:\n"),
        ("      paddle:\n", "      loose: {environment: live, accounts: [{token: x}]}\n      paddle:\n"),
        ("          - price_id: pri_1", "          - price_id: pri_1\n        options: {theme: dark}"),
        ("        items:\n          - price_id: pri_1", '        amount: {value: "49.00", currency: INR}'),
        ("sites:\n", "include: [sites.d/*.yaml]\nsites:\n"),
    ],
)
def test_what_the_gateway_accepts_has_no_errors(wrong, good, old, new):
    assert wrong(good.replace(old, new)) == set()


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("server:", "sever:", ""),
        ("public_url:", "pubic_url:", "server"),
        ("public_url: https://pay.example.com", "port: 99999", "server.port"),
        ("public_url: https://pay.example.com", "port: eighty", "server.port"),
        ("url: embedded", "url: mysql://x", "database.url"),
        ("  url: embedded", "  pool_size: 3", "database"),
        ("acme:", "Acme:", "sites"),
        ("api: revenue", "api: other", "sites.acme.faurya"),
        ("site_id: site_1", "site_id: site_1\n      name: x", "sites.acme.faurya"),
        ("origins:", "name: x\n    origins:", "sites.acme"),
        ("environment: sandbox", "environment: production", "sites.acme.providers.paddle.environment"),
        ("environment: sandbox", "environment: sandbox\n        sweep: {every: 5}", f"{PADDLE}.sweep.every"),
        ("        environment: sandbox\n", "", "sites.acme.providers.paddle"),
        ("api_key: ${API_KEY}", "api_kye: ${API_KEY}", "sites.acme.providers.paddle"),
        ("environment: sandbox", "environment: sandbox\n        plugin: absent", "sites.acme.providers.paddle.plugin"),
        ("      paddle:\n", "      eu: {environment: live}\n      paddle:\n", "sites.acme.providers.eu"),
        ("      paddle:\n", "      loose: {environment: live, nope: 1}\n      paddle:\n", "sites.acme.providers.loose"),
        ("provider: paddle", "provider: paddle\n        amount: {value: '1', currency: USD}", "sites.acme.plans.pro"),
        ("          - price_id: pri_1", "          - quantity: 1", "sites.acme.plans.pro.items.0"),
        ("price_id: pri_1", "price_id: p\n        options: {theme: blue}", "sites.acme.plans.pro.options"),
        ("      pro:\n", "      pro plan:\n", "sites.acme.plans"),
    ],
)
def test_what_the_gateway_refuses_has_its_place(wrong, good, old, new, where):
    assert where in wrong(good.replace(old, new))


def test_a_configuration_has_sites_or_includes_them(wrong):
    assert wrong("database: {url: embedded}\n") == {""}
    assert wrong("database: {url: embedded}\ninclude: [x.yaml]\n") == set()


def test_defaults_are_written_as_in_a_file(models):
    found = schema(models, PLUGINS)
    assert found["$defs"]["Retry"]["properties"]["schedule"]["default"][:3] == ["5s", "30s", "2m"]
    assert found["properties"]["worker"]["default"] == {"lease": "30s", "concurrency_per_site": 8}
    assert found["$defs"]["Payments"]["properties"]["url"]["default"] == "https://api.faurya.com"


def test_a_plugin_that_is_not_there_has_no_schema(models):
    with pytest.raises(PluginUnknown):
        schema(models, ["absent"])
