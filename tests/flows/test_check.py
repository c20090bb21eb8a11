"""The report of `check`: what is a problem, what is worth knowing, what is fine."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from gateway.app.serving import listening
from gateway.config import Config, load
from gateway.flows import check, probing
from gateway.flows.check import Finding, Report, Seen, of_config, of_database, of_plugins
from gateway.plugins import Live, Opened, PluginRegistry, open_all
from gateway.sdk import API, MetadataLimits, Rejected, Runtime
from gateway.store.holds import SiteHold
from gateway.store.refusals import RefusalRow
from gateway.store.reports import LeftBehind, Stuck
from providers.example.config import ExampleConfig

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)

CONFIG = """
database: {{url: embedded}}
sites:
  acme:
    faurya: {{api: revenue, url: "http://127.0.0.1:9", site_id: s, write_key: acme-write-key}}
    providers:
      example: {{environment: sandbox, api_key: key-1, webhook_secrets: [whsec_1]}}
      listed: {{plugin: example, environment: sandbox, api_key: key-2, webhook_secrets: [whsec_2],
                claims: [pri_1], forward: false}}
  globex:
    faurya: {{api: payments, url: "{faurya}", api_key: globex-api-key, currencies: any, forward_test: true}}
    providers:
      example: {{environment: sandbox, api_key: key-3, webhook_secrets: [whsec_3]}}
"""


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG.format(faurya="http://127.0.0.1:9"))
    return load(path, PluginRegistry(), {})


def refusal(**what: Any) -> RefusalRow:
    values = {
        "site": "acme",
        "connection": "example",
        "count": 3,
        "first_at": NOW - timedelta(days=9),
        "last_at": NOW - timedelta(hours=1),
        "reason": "signature_mismatch",
        "detail": "no secret matches",
        "seconds_off": None,
        "doctor": None,
        "doctor_at": None,
    }
    return RefusalRow(**{**values, **what})


@pytest.mark.parametrize(
    ("row", "kept_at", "level"),
    [
        (refusal(), None, "problem"),
        (refusal(), NOW - timedelta(hours=2), "problem"),
        (refusal(), NOW - timedelta(minutes=1), "warning"),
        (refusal(reason="header_missing"), None, "warning"),
        (refusal(last_at=NOW - timedelta(days=2)), None, "note"),
    ],
)
def test_a_refusal_is_a_problem_while_nothing_else_comes_through(
    row: RefusalRow, kept_at: datetime | None, level: str
) -> None:
    (found,) = of_database(Seen(refusals=[row], last_webhooks=[("acme", "example", kept_at)]), NOW)
    assert (found.level, found.about, found.facts["count"]) == (level, "acme/example", 3)


def test_a_refusal_is_told_with_what_the_doctor_found() -> None:
    (found,) = of_database(Seen(refusals=[refusal(seconds_off=90, doctor="the secret of a/b matches")]), NOW)
    assert found.text == (
        "3 webhooks refused, the last at 2026-09-01 11:00:00 UTC: no secret matches (90 seconds off); "
        "the secret of a/b matches"
    )


@pytest.mark.parametrize(
    ("oldest", "held", "level", "said"),
    [
        (NOW + timedelta(minutes=1), False, "fine", "the next work is due at"),
        (NOW - timedelta(minutes=1), False, "fine", "the oldest work was due at"),
        (NOW - timedelta(minutes=6), False, "problem", "is a worker running?"),
        (NOW - timedelta(minutes=6), True, "note", "they wait for the hold"),
    ],
)
def test_late_work_is_a_problem_unless_the_site_is_on_hold(oldest: datetime, held: bool, level: str, said: str) -> None:
    (found,) = of_database(Seen(backlog=[("acme", oldest, 4, held)]), NOW)
    assert (found.level, found.facts["due"]) == (level, 4)
    assert said in found.text


def test_no_work_is_nothing_to_tell() -> None:
    assert of_database(Seen(backlog=[("acme", None, 0, False)]), NOW) == []


@pytest.mark.parametrize(
    ("until", "reason", "note", "said"),
    [
        (NOW, "quota", None, "tried again at 2026-09-01 12:00:00 UTC: Faurya says that the account's event limit"),
        (None, "new_reason", None, "until somebody lifts it (`holds lift`): new_reason"),
        (
            None,
            "operator",
            "they move",
            "until somebody lifts it (`holds lift`): somebody put the site on hold: they move",
        ),
    ],
)
def test_a_hold_is_a_problem(until: datetime | None, reason: str, note: str | None, said: str) -> None:
    hold = SiteHold(site="acme", since=NOW, until=until, reason=reason, probes=0, note=note)
    (found,) = of_database(Seen(holds=[hold]), NOW)
    assert found.level == "problem"
    assert said in found.text


@pytest.mark.parametrize(
    ("what", "recent", "level"),
    [
        ("rejected", 1, "problem"),
        ("dead", 1, "problem"),
        ("unreadable", 1, "problem"),
        ("unattributed", 1, "warning"),
        ("dead", 0, "note"),
        ("unattributed", 0, "note"),
    ],
)
def test_what_is_stuck_is_a_problem_while_it_is_recent(what: str, recent: int, level: str) -> None:
    row = Stuck(site="acme", connection="example", what=what, count=7, recent=recent, latest=NOW)
    (found,) = of_database(Seen(stuck=[row]), NOW)
    assert (found.level, found.text.partition(" ")[0]) == (level, "7")


@pytest.mark.parametrize(("unfinished", "level"), [(0, "note"), (2, "warning")])
def test_what_is_left_behind_matters_while_it_is_unfinished(unfinished: int, level: str) -> None:
    row = LeftBehind(site="acme", connection="old", webhooks=5, revenue=3, unfinished=unfinished)
    (found,) = of_database(Seen(left_behind=[row]), NOW)
    assert (found.level, found.about) == (level, "acme/old")


def test_every_site_and_connection_is_told(config: Config) -> None:
    told = {finding.about: finding for finding in of_config(config)}
    assert list(told) == ["configuration", "acme", "acme/example", "acme/listed", "globex", "globex/example"]
    assert told["acme/listed"].text == "plugin example, sandbox, claims listed ids, not forwarded"
    assert told["globex"].text.endswith("test money is forwarded")


def test_a_connection_that_is_left_out_is_a_problem(config: Config) -> None:
    site = config.sites["acme"].model_copy(update={"skipped": {"broken": "it does not load"}})
    skipped = config.model_copy(update={"sites": {"acme": site}})
    (found,) = [finding for finding in of_config(skipped) if finding.level == "problem"]
    assert (found.about, found.text) == ("acme/broken", "left out: it does not load")
    assert [finding.about for finding in of_plugins(Live(config=skipped, connections={}))] == [
        "acme/example",
        "acme/listed",
    ]


def test_a_report_counts_its_problems() -> None:
    report = Report([Finding(level="fine", about="a", text="b"), Finding(level="problem", about="c", text="d")])
    assert report.problems == 1
    assert report.as_json() == {
        "ok": False,
        "problems": 1,
        "findings": [
            {"level": "fine", "about": "a", "text": "b"},
            {"level": "problem", "about": "c", "text": "d"},
        ],
    }


async def test_a_database_that_does_not_answer_is_a_finding(config: Config) -> None:
    def away() -> Any:
        raise TimeoutError

    found = await check.check(config, away, NOW)
    assert (found[-1].level, found[-1].text) == ("problem", "the database did not answer in time")


@pytest.mark.parametrize(
    ("seconds", "level", "said"),
    [
        (0, "fine", "the clocks agree"),
        (4, "fine", "the clocks agree"),
        (-8, "warning", "8 seconds behind"),
        (31, "problem", "31 seconds ahead of"),
    ],
)
def test_the_clock_is_judged_in_the_middle_of_the_call(seconds: int, level: str, said: str) -> None:
    clock = NOW - timedelta(seconds=seconds)
    found = probing.of_clock("acme/example", NOW - timedelta(seconds=2), clock, NOW + timedelta(seconds=2))
    assert (found.level, found.facts) == (level, {"clock_off_seconds": seconds})
    assert said in found.text


class ProbedPlugin:
    """A plugin whose probe does what its API key says."""

    api = API
    name = "example"
    config_model = ExampleConfig
    metadata_limits = MetadataLimits(keys=1, key_chars=1, value_chars=1)

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def open(self, config: Any, runtime: Runtime) -> Any:
        answer = self._answers[config.api_key.get_secret_value()]

        class Provider:
            if answer is not NotImplemented:

                async def probe(self) -> datetime | None:
                    if isinstance(answer, Exception):
                        raise answer
                    return answer  # type: ignore[no-any-return]

        return Provider()


@pytest.mark.parametrize(
    ("answer", "level", "said"),
    [
        (None, "fine", "the key works"),
        (Rejected("the key is not known"), "problem", "the key could not be proven: the key is not known"),
        (ValueError("key-1"), "problem", "the plugin example raised ValueError in probe"),
        (TimeoutError(), "problem", "no answer within 10 seconds"),
        (NotImplemented, "note", "cannot prove its key without a sale"),
    ],
)
@pytest.mark.parametrize(
    ("status", "faurya_level"), [(404, "fine"), (200, "fine"), (401, "problem"), (403, "problem"), (500, "warning")]
)
async def test_keys_are_proven(
    tmp_path: Path, answer: Any, level: str, said: str, status: int, faurya_level: str
) -> None:
    asked: list[tuple[str, str | None]] = []

    async def visitor(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers.get("Authorization")))
        return web.Response(status=status)

    faurya = web.Application()
    faurya.router.add_get("/api/v1/visitors/{id}", visitor)
    async with listening(faurya, "127.0.0.1", 0) as port, aiohttp.ClientSession() as http:
        path = tmp_path / "config.yaml"
        path.write_text(CONFIG.format(faurya=f"http://127.0.0.1:{port}"))
        config = load(path, PluginRegistry(), {})
        live = _opened_with(config, {"key-1": answer, "key-2": None, "key-3": None}, http)
        found = await probing.probe_all(live, http, lambda: NOW)
    levels = [(finding.about, finding.level) for finding in found]
    assert levels == [
        ("acme/example", level),
        ("acme/listed", "fine"),
        ("globex/example", "fine"),
        ("acme", "note"),
        ("globex", faurya_level),
    ]
    assert said in found[0].text
    assert asked == [(f"/api/v1/visitors/{probing.MADE_UP_VISITOR}", "Bearer globex-api-key")]


def _opened_with(config: Config, answers: dict[str, Any], http: aiohttp.ClientSession) -> Live:
    plugin = ProbedPlugin(answers)
    runtime = Runtime(http=http, now=lambda: NOW)
    live = open_all(config, PluginRegistry(), runtime)
    connections = {
        place: Opened(
            site=opened.site,
            name=opened.name,
            connection=opened.connection,
            plugin=plugin,
            provider=plugin.open(opened.connection.settings, runtime),
            secret_headers=frozenset(),
            secret_query=frozenset(),
        )
        for place, opened in live.connections.items()
    }
    return Live(config=config, connections=connections)


async def test_a_faurya_that_does_not_answer_is_a_problem(config: Config) -> None:
    async with aiohttp.ClientSession() as http:
        found = await probing.probe_all(Live(config=config, connections={}), http, lambda: NOW)
    assert [(finding.about, finding.level) for finding in found] == [("acme", "note"), ("globex", "problem")]
    assert "ClientConnectorError" in found[1].text
