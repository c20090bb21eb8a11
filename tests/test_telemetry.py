"""Logs without secrets, and metrics that are right with any number of processes."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMessage
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import Backlog, Metrics, Redaction, configure_logging, log

SECRETS = frozenset({"hush", "hush-hush", "s3cret", 'quo"ted\\caf\xe9'})


@pytest.fixture(name="afterwards", autouse=True)
def _afterwards() -> Iterator[None]:
    """Logging is as it was before, afterwards."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("a hush b", "a *** b"),
        ("hush-hush", "***"),
        ("hush-hush-hush", "***-***"),
        ("nothing", "nothing"),
        ("", ""),
        (None, None),
        (5, 5),
        (1.5, 1.5),
        (True, True),
        (["hush", 1, ("s3cret",)], ["***", 1, ["***"]]),
        ({"hush": {"a": "s3cret"}}, {"***": {"a": "***"}}),
        (b"hush", "b'***'"),
        (ValueError("s3cret"), "***"),
        (Path("/run/s3cret"), "/run/***"),
    ],
)
def test_a_secret_is_taken_out_wherever_it_is(value: Any, cleaned: Any) -> None:
    assert Redaction(SECRETS).clean(value) == cleaned


def test_sets_are_searched_too() -> None:
    assert sorted(Redaction(SECRETS).clean({"hush", "a"})) == ["***", "a"]
    assert Redaction(SECRETS).clean(frozenset({"s3cret"})) == ["***"]


def test_a_longer_secret_goes_before_one_that_it_begins_with() -> None:
    many = frozenset({"key", "key-", "key-live", "key-live-1"})
    assert Redaction(many).clean("key-live-1 key-live key-") == "*** *** ***"


KINDS = ("k", "ab", "sk_", "wk_live_", "pdl_ntfset_", "caf\xe9\u20ac_", 'a"\\b', "(.*)[")


@pytest.mark.parametrize("ending", ["", "1", "12", "(.*)", '"\\\u2028', "-a-long-one-that-goes-on"])
@pytest.mark.parametrize("kind", KINDS)
def test_of_many_secrets_of_all_kinds_each_is_found(kind: str, ending: str) -> None:
    many = frozenset(f"{other}{number}-of-a-thousand" for other in KINDS for number in range(100)) | {kind + ending}
    redaction = Redaction(many)
    assert redaction.clean(f"(a {kind}{ending}") == "(a ***"
    line = redaction.as_json(None, "info", {"event": f"(a {kind}{ending}"})
    assert json.loads(line)["event"] == "(a ***"


def test_text_that_only_begins_like_a_secret_stays() -> None:
    redaction = Redaction(frozenset({"acme-webhooks-secret", "polar_whs_1"}))
    assert redaction.clean("acme-webhooks, polar_whs_") == "acme-webhooks, polar_whs_"
    line = redaction.as_json(None, "info", {"event": "acme-webhooks", "plugin": "polar_whs_"})
    assert line == b'{"event":"acme-webhooks","plugin":"polar_whs_"}'


def test_without_secrets_nothing_is_taken_out() -> None:
    assert Redaction().clean("anything") == "anything"
    assert Redaction().as_json(None, "info", {"event": "anything"}) == b'{"event":"anything"}'


def test_the_secrets_are_not_in_a_repr() -> None:
    assert "hush" not in repr(Redaction(SECRETS))


def test_secrets_that_a_reload_brings_are_taken_out_from_then_on() -> None:
    redaction = Redaction(SECRETS)
    assert redaction.clean("brand-new") == "brand-new"
    redaction.secrets |= {"brand-new"}
    assert redaction.clean("brand-new hush") == "*** ***"


def fail(error: Exception) -> None:
    raise error


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == "", "standard output belongs to the commands"
    return [json.loads(line) for line in captured.err.splitlines()]


def test_a_line_is_json_with_level_time_and_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Redaction(SECRETS), as_json=True)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log().info(
            "webhook.received", site="acme", count=3, nothing=None, detail="the key is hush", deep=[{"a": "s3cret"}]
        )
    (line,) = logged(capsys)
    assert list(line)[:2] == ["site", "count"]
    assert list(line)[-4:] == ["event", "request_id", "level", "timestamp"]
    written = line.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", written)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(written)) < timedelta(seconds=10)
    assert line == {
        "event": "webhook.received", "level": "info", "request_id": "r1", "site": "acme", "count": 3, "nothing": None,
        "detail": "the key is ***", "deep": [{"a": "***"}],
    }  # fmt: skip


def test_a_line_that_a_processor_drops_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Redaction(SECRETS), as_json=True)
    with structlog.testing.capture_logs() as lines:
        log().info("webhook.received", site="acme")
        log().warning("webhook.refused")
    assert [line["event"] for line in lines] == ["webhook.received", "webhook.refused"]
    assert logged(capsys) == []


def test_what_an_exception_quotes_is_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Redaction(SECRETS), as_json=True)
    try:
        fail(ValueError('the password quo"ted\\caf\xe9 is wrong'))
    except ValueError as error:
        log().error("request.failed", exc_info=error)
    (line,) = logged(capsys)
    assert "ValueError: the password *** is wrong" in line["exception"]


def test_other_libraries_lines_are_cleaned_and_their_chatter_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Redaction(SECRETS), as_json=True)
    logging.getLogger("aiohttp.access").info("GET /?token=hush")
    logging.getLogger("alembic").info("chatter")
    logging.getLogger("some.library").debug("chatter")
    logging.getLogger("some.library").warning("connecting with %s failed", "s3cret")
    try:
        fail(OSError("hush"))
    except OSError:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    first, second = logged(capsys)
    assert (first["event"], first["level"]) == ("connecting with *** failed", "warning")
    assert "OSError: ***" in second["exception"]


def test_on_a_terminal_lines_are_pretty_and_as_clean(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Redaction(SECRETS), as_json=False)
    log().warning("webhook.refused", detail="hush", odd="\0\x1b[31m")
    log().debug("nobody sees this")
    written = capsys.readouterr().err
    assert written.count("\n") == 1
    assert "webhook.refused" in written
    assert "hush" not in written


@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_for_machines_and_pretty_lines_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configure_logging(Redaction())
    log().info("gateway.started")
    assert capsys.readouterr().err.startswith("{") is not terminal


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


BACKLOG = Backlog(
    oldest_due_seconds=(("acme", 12.5),),
    outbox_due=(("acme", 3),),
    held=(("acme", True), ("globex", False)),
    last_webhook=(("acme", "example", 1790000000.0),),
    last_sweep=(("acme", "example", 1790000007.0),),
)
FROM_THE_DATABASE = {
    ("gateway_oldest_due_seconds", (("site", "acme"),)): 12.5,
    ("gateway_outbox_due", (("site", "acme"),)): 3,
    ("gateway_site_held", (("site", "acme"),)): 1,
    ("gateway_site_held", (("site", "globex"),)): 0,
    ("gateway_last_webhook_timestamp_seconds", (("connection", "example"), ("site", "acme"))): 1790000000.0,
    ("gateway_last_sweep_timestamp_seconds", (("connection", "example"), ("site", "acme"))): 1790000007.0,
}
RECEIVED = ("gateway_webhooks_total", (("connection", "example"), ("outcome", "received"), ("site", "acme")))


def test_counters_have_the_names_of_the_contract_and_no_others_beside_them() -> None:
    metrics = Metrics()
    metrics.webhooks.labels("acme", "example", "received").inc()
    metrics.refused.labels("acme", "example", "header_missing").inc()
    metrics.deliveries.labels("acme", "recorded").inc()
    metrics.checkouts.labels("acme", "created").inc()
    metrics.plugin_failures.labels("example", "verify").inc()
    metrics.swept.labels("acme", "example", "booked").inc()
    metrics.webhook_seconds.observe(0.002)
    metrics.delivery_seconds.observe(0.2)
    found = samples(metrics.expose(BACKLOG))
    assert FROM_THE_DATABASE.items() <= found.items()
    names = {name for name, _ in found} - {name for name, _ in FROM_THE_DATABASE}
    histograms = {
        f"gateway_{what}_seconds_{part}" for what in ("webhook", "delivery") for part in ("bucket", "count", "sum")
    }
    assert names == histograms | {
        "gateway_webhooks_total", "gateway_refused_total", "gateway_deliveries_total", "gateway_checkouts_total",
        "gateway_plugin_failures_total", "gateway_swept_total",
    }  # fmt: skip
    assert found[RECEIVED] == 1
    assert found["gateway_webhook_seconds_bucket", (("le", "0.0025"),)] == 1
    assert found["gateway_webhook_seconds_bucket", (("le", "0.001"),)] == 0


def test_two_gateways_in_one_process_count_for_themselves() -> None:
    one, two = Metrics(), Metrics()
    one.webhooks.labels("acme", "example", "received").inc()
    assert RECEIVED in samples(one.expose(Backlog()))
    assert RECEIVED not in samples(two.expose(Backlog()))


PROCESS = """
import sys
from gateway.telemetry import Backlog, Metrics
metrics = Metrics()
metrics.webhooks.labels("acme", "example", "received").inc(int(sys.argv[1]))
metrics.webhook_seconds.observe(0.002)
sys.stdout.buffer.write(metrics.expose(Backlog(outbox_due=(("acme", 3),))))
"""


def test_several_processes_are_added_up_and_the_database_is_asked_once(tmp_path: Path) -> None:
    found = {}
    for count in (2, 5):
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, str(count)],
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            check=True,
        )
        found = samples(done.stdout)
    assert found[RECEIVED] == 7
    assert found["gateway_webhook_seconds_count", ()] == 2
    assert found["gateway_outbox_due", (("site", "acme"),)] == 3
    assert not [name for name, _ in found if name.endswith("_created")]


def test_bytes_that_are_not_http_are_logged_calmly_and_not_quoted(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(Redaction(), as_json=True)
    error = BadHttpMessage("Paddle-Signature: ts=1;h1=quoted")
    logging.getLogger("aiohttp.server").error("Error handling request", exc_info=error)
    line = capfd.readouterr().err
    assert "not HTTP: BadHttpMessage" in line
    assert "quoted" not in line


@pytest.mark.parametrize("odd", ["hush \udcff", {"hush": 2**70}, b"hush", Path("/run/hush"), {1: "hush"}, ["hush"]])
def test_no_value_is_too_odd_for_a_line_without_secrets(capsys: pytest.CaptureFixture[str], odd: Any) -> None:
    configure_logging(Redaction(SECRETS), as_json=True)
    log().info("odd", value=odd, site="acme")
    (line,) = logged(capsys)
    assert (line["event"], line["site"]) == ("odd", "acme")
    assert "hush" not in str(line)
    assert "***" in str(line)


def test_a_secret_that_json_writes_in_another_way_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    odd = 'ta\tb "quoted" \\ caf\xe9 \u2028 \x7f'
    configure_logging(Redaction(frozenset({odd})), as_json=True)
    log().info("odd", value=f"before {odd} after")
    (line,) = logged(capsys)
    assert line["value"] == "before *** after"
