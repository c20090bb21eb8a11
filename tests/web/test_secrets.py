"""One busy day, and then: no secret in any answer, log line, metric or row."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog
from accepting import WITH_SCRIPTED, accepting, noted
from harness import START, Harness

from gateway.config import secret_values
from gateway.sdk import Accepted, RefusalReason, Refused, Rejected, RevenueKind, Unavailable
from gateway.telemetry import configure_logging

# quotes, a percent sign and letters beyond ASCII: a secret must be recognized however a log line writes it
TEXT = WITH_SCRIPTED.replace("api_key: globex-api-key", "api_key: 'globex \"api\" key 100%'").replace(
    "webhook_secrets: [whsec_made_up_2]", "webhook_secrets: ['whsec \"2\" caf\xe9 \\ \U0001f600']"
)
HUSH = "hush-hush-from-a-header"


@pytest.fixture(name="quiet", autouse=True)
def _quiet() -> Iterator[None]:
    """Logging is as it was before, afterwards."""
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


class Ear:
    """Remembers every answer whole."""

    def __init__(self, here: Harness) -> None:
        self.here = here
        self.heard: list[str] = []

    async def ask(self, method: str, path: str, **options: Any) -> int:
        async with self.here.http.request(method, self.here.url + path, **options) as answer:
            self.heard.append(f"{answer.status} {dict(answer.headers)} {await answer.text()}")
            return answer.status


async def rows_as_text(here: Harness) -> str:
    tables = await here.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = [await here.rows(f"SELECT t::text, t.* FROM {table['tablename']} t") for table in tables]
    return str(found)


async def day(here: Harness, ear: Ear, plugin: Any, secrets: list[str]) -> None:
    good = here.provider().sample(RevenueKind.PURCHASE, simulated=False, event_id="evt_1", payment_id="pay_1")
    await ear.ask("POST", "/webhooks/acme/example", data=good, headers=here.provider().sign(good, START))
    for secret in secrets:
        header = secret.encode("ascii", "replace").decode()
        wrong = {"X-Example-Signature": f"t=1,v1={header}"}
        await ear.ask("POST", "/webhooks/acme/example", data=secret.encode(), headers=wrong)
        plugin.verdict = lambda request, secret=secret: Refused(
            reason=RefusalReason.SECRET_MISMATCH, detail=f"expected {secret}"
        )
        await ear.ask("POST", "/webhooks/acme/scripted", data=b"{}")
        for error in (Rejected(f"bad key {secret}", code=secret, request_id=secret), Unavailable(secret),
                      ValueError(secret)):  # fmt: skip
            plugin.checkout = raising(error)
            await ear.ask("POST", "/checkouts/acme", json={"plan": "tuned"})
        await ear.ask(
            "POST", "/checkouts/globex", json={"plan": "basic"}, headers={"Authorization": f"Bearer {header}x"}
        )
    plugin.verdict = lambda request: Accepted(proof="secret", event_id="evt_2")
    secret_parts = {"params": {"token": HUSH}, "headers": {"X-Token": HUSH, "X-Event": "evt_2"}}
    await ear.ask("POST", "/webhooks/acme/scripted", data=b"{}", **secret_parts)
    await ear.ask("POST", "/webhooks/nobody/scripted", data=b"{}", **secret_parts)
    plugin.verdict = raising(ValueError(HUSH))
    await ear.ask("POST", "/webhooks/acme/scripted", data=b"{}", **secret_parts)
    for path in ("/metrics", "/readyz", "/healthz", "/nothing"):
        await ear.ask("GET", path)


def raising(error: Exception) -> Any:
    def fail(request: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
async def test_a_secret_is_in_no_answer_no_log_line_no_metric_and_no_row(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    limits = "limits: {{checkouts_per_minute_per_ip: 1000, checkouts_per_minute: 1000}}\nsites:\n"
    text = TEXT.replace("sites:\n", limits, 1)
    async with accepting(database_url, tmp_path, text=text, with_worker=True) as (here, plugin):
        configure_logging(here.gateway.redaction, as_json=as_json)
        secrets = sorted(secret_values(here.gateway.live.config) - {database_url})
        assert len(secrets) >= 9, secrets
        plugin.readings["evt_2"] = raising(ValueError(secrets[0]))
        ear = Ear(here)
        await day(here, ear, plugin, secrets)
        await here.settled()
        await noted(here)
        rows = await rows_as_text(here)
        written = capsys.readouterr().err
    assert len(ear.heard) > 50
    assert "webhook.refused" in written
    assert "checkout.failed" in written
    assert "evt_1" in rows
    # The body of a webhook is kept as received, whatever is in it; these secrets were put there by the sender.
    for secret in (*secrets, HUSH):
        for form in {secret, orjson.dumps(secret).decode()[1:-1], secret.encode("ascii", "backslashreplace").decode()}:
            assert not [answer for answer in ear.heard if form in answer], f"{form!r} in an answer"
            assert form not in written, f"{form!r} in the log"
            assert form not in rows, f"{form!r} in a row"
