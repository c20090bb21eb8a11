"""The signature doctor: whose secret would have matched?"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from accepting import Tuned, accepting, events, inside, log_lines, noted, problem
from harness import SECRETS, START, Harness

from gateway.flows import doctor
from gateway.flows.doctor import EVERY, SignatureDoctor
from gateway.sdk import Accepted, RefusalReason, Refused, WebhookRequest, headers_of
from providers.example.signature import HEADER, sign

BODY = b'{"id": "evt_1"}'
NOTHING = "no other secret of this gateway matches: compare the secret with the provider's dashboard"


@pytest_asyncio.fixture(name="site")
async def _site(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Harness, Tuned]]:
    async with accepting(database_url, tmp_path) as site:
        yield site


@pytest.fixture(name="here")
def _here(site: tuple[Harness, Tuned]) -> Harness:
    return site[0]


def of(place: tuple[str, str], at: datetime = START) -> Mapping[str, str]:
    """A signature with the secret of another connection."""
    return sign(BODY, at, SECRETS[place].encode())


async def looked_at(here: Harness, headers: Mapping[str, str], site: str = "acme") -> tuple[str | None, list[Any]]:
    """Send a webhook; return what the refusals say of it and the doctor's log lines. The answer must not know."""
    with log_lines() as lines:
        answer = await here.send(BODY, site, headers=headers)
        content = await problem(answer, 401, "webhook_refused")
        await noted(here)
    assert all(other not in str(content) for other in ("sandbox", "globex"))
    (row,) = await here.rows("SELECT doctor FROM refusals WHERE site = $1", site)
    return row["doctor"], events(lines, "signature.diagnosed")


@pytest.mark.parametrize(
    ("place", "whose", "environment"),
    [(("acme", "sandbox"), "acme/sandbox", "sandbox"), (("globex", "example"), "globex/example", "live")],
)
async def test_another_environments_or_sites_secret_is_named(
    here: Harness, place: tuple[str, str], whose: str, environment: str
) -> None:
    finding = (
        f"the secret of {whose} ({environment}) matches: give this webhook's destination the address of {whose}, "
        "or this connection that secret"
    )
    noted_finding, lines = await looked_at(here, of(place))
    assert noted_finding == finding
    assert [(line["site"], line["connection"], line["finding"]) for line in lines] == [("acme", "example", finding)]
    (row,) = await here.rows("SELECT doctor_at FROM refusals")
    assert row["doctor_at"] == START


async def test_a_secret_that_nobody_here_has_is_said_to_be_unknown(here: Harness) -> None:
    assert (await looked_at(here, sign(BODY, START, b"unknown")))[0] == NOTHING


@pytest.mark.parametrize(
    "headers",
    [{}, {HEADER: "garbage"}, of(("acme", "sandbox"), START - timedelta(hours=1)),
     of(("acme", "sandbox"), START + timedelta(hours=1))],
    ids=["missing", "malformed", "stale", "future"],
)  # fmt: skip
async def test_only_a_well_formed_and_fresh_header_is_looked_at(here: Harness, headers: Mapping[str, str]) -> None:
    assert await looked_at(here, headers) == (None, [])


async def test_the_doctor_looks_at_most_once_a_second_whatever_the_clock_does(here: Harness) -> None:
    flood = [here.send(BODY, headers=sign(BODY, START, b"unknown")) for _ in range(20)]
    with log_lines() as lines:
        await asyncio.gather(*flood)
        await noted(here)
    assert len(events(lines, "signature.diagnosed")) == 1
    for moved, times in ((EVERY - timedelta(microseconds=1), 0), (timedelta(microseconds=1), 1), (-60 * EVERY, 1)):
        here.clock.forward(moved)
        _, lines = await looked_at(here, of(("acme", "sandbox"), here.clock()))
        assert len(lines) == times, moved


async def test_another_plugins_secrets_are_not_tried(site: tuple[Harness, Tuned]) -> None:
    here, plugin = site
    asked: list[WebhookRequest] = []

    def verdict(request: WebhookRequest) -> Accepted:
        asked.append(request)
        return Accepted(proof="secret")

    plugin.verdict = verdict
    assert (await looked_at(here, sign(BODY, START, b"unknown")))[0] == NOTHING
    assert asked == []


def refused_connections(plugins: list[str], secrets: int) -> tuple[Any, list[tuple[str, str]]]:
    """Connections a0, a1, ... of site `other`, then b of site `acme`; each verdict notes who was asked."""
    from pydantic import BaseModel, SecretStr

    class Settings(BaseModel):
        keys: tuple[SecretStr, ...]

    asked: list[tuple[str, str]] = []

    def connection(site: str, name: str, plugin: str) -> Any:
        def verify(request: WebhookRequest) -> Any:
            asked.append((site, name))
            if plugin == "breaks":
                raise ValueError
            return Refused(reason=RefusalReason.SIGNATURE_MISMATCH)

        settings = Settings(keys=tuple(SecretStr(f"{site}-{name}-{n}") for n in range(secrets)))
        said = SimpleNamespace(plugin="p", environment="live", settings=settings)
        return SimpleNamespace(site=site, name=name, connection=said, provider=SimpleNamespace(verify=verify))

    places = [("other", f"a{n}") for n in range(len(plugins))] + [("acme", "b"), ("acme", "self")]
    live = SimpleNamespace(
        connections={
            place: connection(*place, plugin) for place, plugin in zip(places, [*plugins, "p", "p"], strict=True)
        }
    )
    return live, asked


async def look(here: Harness, live: Any) -> str:
    request = WebhookRequest(method="POST", url="", headers=headers_of(), body=b"", received_at=START)
    with log_lines() as lines:
        await SignatureDoctor(inside(here).context).look(live.connections["acme", "self"], live, request)
    return str(events(lines, "signature.diagnosed")[0]["finding"])


async def test_the_same_sites_connections_are_tried_first_and_its_own_secret_is_not_tried_again(here: Harness) -> None:
    live, asked = refused_connections(["p", "p"], secrets=2)
    assert await look(here, live) == NOTHING
    assert asked == [("acme", "b"), ("other", "a0"), ("other", "a1")]


async def test_a_plugin_that_breaks_on_the_way_does_not_stop_the_doctor(here: Harness) -> None:
    live, asked = refused_connections(["breaks", "p"], secrets=1)
    assert await look(here, live) == NOTHING
    assert len(asked) == 3


async def test_at_most_64_secrets_are_tried_and_the_finding_says_so(here: Harness) -> None:
    live, asked = refused_connections(["p"] * 40, secrets=2)
    assert await look(here, live) == (
        "none of the 64 secrets that were tried matches: compare the secret with the provider's dashboard"
    )
    assert len(asked) == doctor.MAX_SECRETS // 2
