"""What a valid configuration becomes."""

from datetime import timedelta
from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from gateway.config import Item, Payments, Quantity, Revenue, Sweep
from gateway.domain.money import Money

FULL = """\
server:
  host: ::1
  port: ${PORT:-8081}
  public_url: http://Pay.example.com/gateway/
  require_https: true
  trusted_proxies: [10.0.0.0/8, 192.0.2.1]
  metrics_port: "9090"
  max_body_bytes: 2_048
  body_deadline: 30s
database:
  url: ${DATABASE}
  data_dir: pg
  pool_size: 0x14
  pgbouncer: "${BOUNCER:-yes}"
worker: {lease: 1m, concurrency_per_site: 2}
retry: {schedule: [1s, 1h]}
booking: {wait: 0s}
retention: {raw_days: 7}
limits: {checkouts_per_minute_per_ip: 1, checkouts_per_minute: 2}
plugins: {on_failure: skip, deadline: 1s}
sites:
  acme:
    origins: [https://www.ACME.example/, "http://localhost:3000"]
    checkout: {backend_key: " backend-key "}
    success_url: https://acme.example/thanks?s={SESSION}
    cancel_url: https://acme.example/pricing
    faurya:
      api: payments
      api_key: " key \\n"
      amount: earnings
      amount_unit: minor
      forward_test: ${TEST}
      currencies: USD
    providers:
      eu:
        plugin: paddle
        environment: ${ENV}
        claims: [pri_1, pro_2]
        forward: false
        sweep: {every: 10m, overlap: 0s}
        api_key: k
        webhook_secrets: [a, b]
    plans:
      Pro.monthly_1:
        provider: eu
        items: [{price_id: pri_1, quantity: 2}]
        quantity: {max: 10}
        options: {theme: dark}
      gift:
        provider: eu
        amount: {value: "49.50", currency: INR}
"""

FULL_ENVIRON = {"DATABASE": "postgresql://u:p%40ss@db/x", "ENV": "live", "TEST": "true"}


@pytest.fixture(name="full")
def _full(loaded):
    return loaded(FULL, environ=FULL_ENVIRON)


def test_a_small_file_gets_the_documented_defaults(loaded, tmp_path):
    config = loaded()
    server, database, site = config.server, config.database, config.sites["acme"]
    assert (server.host, server.port, server.public_url) == ("127.0.0.1", 8080, "https://pay.example.com")
    assert (server.require_https, server.trusted_proxies, server.metrics_port) == (True, (), None)
    assert (server.max_body_bytes, server.body_deadline) == (1_048_576, timedelta(seconds=10))
    assert database.embedded
    assert database.data_dir == tmp_path / ".gateway-data"
    assert (database.allow_embedded, database.pool_size, database.pgbouncer) == (False, 10, False)
    assert (config.worker.lease, config.worker.concurrency_per_site) == (timedelta(seconds=30), 8)
    hours = [timedelta(hours=hour) for hour in (1, 2, 5, 10, 14, 20, 24)]
    seconds = [timedelta(seconds=second) for second in (5, 30, 120, 600, 1800)]
    assert config.retry.schedule == (*seconds, *hours)
    assert (config.booking.wait, config.retention.raw_days) == (timedelta(hours=24), 90)
    assert (config.limits.checkouts_per_minute_per_ip, config.limits.checkouts_per_minute) == (30, 120)
    assert (config.plugins.on_failure, config.plugins.deadline) == ("refuse", timedelta(seconds=10))
    assert (site.checkout.backend_key, site.success_url, site.cancel_url, site.skipped) == (None, None, None, {})


def test_a_site_without_more_gets_the_documented_defaults(loaded):
    site = loaded().sites["acme"]
    faurya, connection, plan = site.faurya, site.providers["paddle"], site.plans["pro"]
    assert isinstance(faurya, Revenue)
    assert (faurya.amount, faurya.amount_unit, faurya.forward_refunds) == ("gross", "minor", False)
    assert (faurya.forward_test, faurya.currencies) == (False, None)
    assert faurya.write_key.get_secret_value() == "faurya-write-key-1"
    assert (connection.name, connection.plugin, connection.environment) == ("paddle", "paddle", "sandbox")
    assert (connection.claims, connection.forward) == ("all", True)
    assert connection.sweep == Sweep(every=timedelta(hours=1), overlap=timedelta(hours=2))
    assert connection.settings.tolerance_seconds == 60
    assert connection.settings.environment == "sandbox"
    assert (plan.name, plan.provider, plan.items) == ("pro", "paddle", (Item(price_id="pri_1", quantity=1),))
    assert (plan.amount, plan.quantity, plan.options.theme) == (None, None, "light")


def test_every_setting_can_be_given(full, tmp_path):
    server, database = full.server, full.database
    assert (server.host, server.port, server.metrics_port) == ("::1", 8081, 9090)
    assert (server.public_url, server.require_https) == ("http://pay.example.com/gateway", True)
    assert server.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.1/32"))
    assert (server.max_body_bytes, server.body_deadline) == (2048, timedelta(seconds=30))
    assert not database.embedded
    assert database.url.get_secret_value() == "postgresql://u:p%40ss@db/x"
    assert (database.data_dir, database.pool_size, database.pgbouncer) == (tmp_path / "pg", 20, True)
    assert (full.worker.lease, full.retry.schedule) == (
        timedelta(minutes=1),
        (timedelta(seconds=1), timedelta(hours=1)),
    )
    assert (full.booking.wait, full.plugins.on_failure) == (timedelta(0), "skip")


def test_every_setting_of_a_site_can_be_given(full):
    site = full.sites["acme"]
    connection = site.providers["eu"]
    assert site.origins == ("https://www.acme.example", "http://localhost:3000")
    assert site.checkout.backend_key.get_secret_value() == "backend-key"
    assert site.success_url == "https://acme.example/thanks?s={SESSION}"
    assert (connection.name, connection.plugin, connection.environment) == ("eu", "paddle", "live")
    assert (connection.claims, connection.forward) == (("pri_1", "pro_2"), False)
    assert connection.sweep == Sweep(every=timedelta(minutes=10), overlap=timedelta(0))
    assert [secret.get_secret_value() for secret in connection.settings.webhook_secrets] == ["a", "b"]


def test_the_payments_dialect_has_its_own_defaults(full):
    faurya = full.sites["acme"].faurya
    assert isinstance(faurya, Payments)
    assert (faurya.url, faurya.api_key.get_secret_value()) == ("https://api.faurya.com", "key")
    assert (faurya.amount, faurya.amount_unit, faurya.forward_test) == ("earnings", "minor", True)
    assert (faurya.currencies, faurya.forward_refunds) == (("USD",), False)
    plain = Payments(api="payments", api_key="k", currencies="any")
    assert (plain.amount_unit, plain.currencies) == ("major", None)


def test_a_plan_has_items_or_an_exact_amount(full):
    plans = full.sites["acme"].plans
    assert plans["Pro.monthly_1"].items == (Item(price_id="pri_1", quantity=2),)
    assert plans["Pro.monthly_1"].quantity == Quantity(min=1, max=10)
    assert plans["Pro.monthly_1"].options.theme == "dark"
    assert (plans["gift"].items, plans["gift"].amount.minor) == ((), 4950)
    assert plans["gift"].amount.money == Money(4950, "INR")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("any", None), ("EUR", ("EUR",)), ("[EUR, JPY]", ("EUR", "JPY"))],
)
def test_currencies_are_a_list_or_the_word_any(loaded, good, value, expected):
    config = loaded(good.replace("api: revenue", f"api: revenue\n      currencies: {value}"))
    assert config.sites["acme"].faurya.currencies == expected


@pytest.mark.parametrize(
    ("server", "public_url"),
    [
        ("", "http://127.0.0.1:8080"),
        ("server: {port: 9000}\n", "http://127.0.0.1:9000"),
        ("server: {host: '::1'}\n", "http://[::1]:8080"),
    ],
)
def test_without_a_public_url_this_machine_is_assumed(loaded, good, server, public_url):
    config = loaded(good.replace("server:\n  public_url: https://pay.example.com\n", server))
    assert (config.server.public_url, config.server.require_https) == (public_url, False)


def test_a_value_never_becomes_structure(loaded):
    config = loaded(
        environ={"WRITE_KEY": "a: [b]", "API_KEY": "{x: 1} # no comment", "WEBHOOK_SECRET": "- ${WRITE_KEY}"}
    )
    settings = config.sites["acme"].providers["paddle"].settings
    assert config.sites["acme"].faurya.write_key.get_secret_value() == "a: [b]"
    assert settings.api_key.get_secret_value() == "{x: 1} # no comment"
    assert settings.webhook_secrets[0].get_secret_value() == "- ${WRITE_KEY}"


def test_an_alias_repeats_a_value(loaded, good):
    text = good.replace("[https://www.acme.example]", "[&origin https://www.acme.example]")
    config = loaded(text + "    cancel_url: *origin\n")
    assert config.sites["acme"].cancel_url == "https://www.acme.example"


def test_one_anchor_may_be_set_twice_without_a_warning(loaded, good):
    config = loaded(good.replace("site_id: site_1", "site_id: &x site_1").replace("api: revenue", "api: &x revenue"))
    assert config.sites["acme"].faurya.site_id == "site_1"


def test_the_configuration_cannot_be_changed(loaded):
    with pytest.raises(ValidationError):
        loaded().server.port = 1


@pytest.mark.parametrize("minimum", [1, 3])
def test_the_parts_can_be_built_in_python(minimum):
    assert Quantity(min=minimum, max=3).max == 3
    assert Revenue(api="revenue", url="https://f.example", site_id="s", write_key="k").amount_unit == "minor"


def test_a_plugin_model_may_take_more_keys_or_have_no_environment(loaded, good):
    more = """\
      open: {environment: sandbox, claims: own_checkouts, anything: [1]}
      loose: {environment: sandbox, callbackKey: k1, accounts: [{token: k2}], by_name: {a: k3}, secret_bytes: k4}
    plans:
"""
    site = loaded(good.replace("    plans:\n", more)).sites["acme"]
    assert site.providers["open"].settings.anything == [1]
    assert site.providers["loose"].settings.by_alias.get_secret_value() == "k1"


def test_a_broken_plugin_is_skipped_where_that_is_allowed(loaded, good):
    text = good.replace("      paddle:\n", "      gone: {environment: live, api_key: x}\n      paddle:\n")
    text += "      old: {provider: gone, items: [{price_id: p}], options: {x: 1}}\nplugins: {on_failure: skip}\n"
    site = loaded(text).sites["acme"]
    assert site.skipped == {"gone": "no such plugin is installed: pip install it"}
    assert list(site.providers) == ["paddle"]
    assert site.plans["old"].options is None
