"""The demo: a real embedded Postgres, real loopback HTTP, and a buyer without a browser."""

import asyncio
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from html import unescape
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from pydantic import BaseModel, Field, SecretStr
from rich.console import Console
from ruamel.yaml import YAML

from gateway.dev import visitors
from gateway.dev.demo import Demo, NoProvider, demo
from gateway.dev.folder import DemoRuns, held
from gateway.dev.ports import address_of, take
from gateway.dev.providers import demo_providers, settings
from gateway.dev.stories import STATUS_TONES, TONES
from gateway.domain.delivery import Status
from gateway.plugins import PluginRegistry
from gateway.sdk import API, ENTRY_POINT_GROUP, MetadataLimits, Runtime
from gateway.store.embedded import EmbeddedFolderError

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_SECONDS = 15.0
COMMAND = [sys.executable, "-c", "from gateway.cli import main; main()", "dev"]
IDS = {"faVisitorId": "site_acme:visitor_1", "faSessionId": "session_1", "faAttributionToken": "token_1"}


class Buyer:
    """A browser without a window: it clicks what the pages offer."""

    def __init__(self, running: Demo, http: aiohttp.ClientSession) -> None:
        self.demo, self.http = running, http

    def shop(self, site: str = "acme") -> str:
        return self.demo.addresses.shops[site]

    async def page(self, path: str, site: str = "acme", status: int = 200) -> str:
        async with self.http.get(self.shop(site) + path) as answer:
            assert answer.status == status, await answer.text()
            assert answer.headers["Cache-Control"] == "no-store"
            return unescape(await answer.text())

    async def order(self, site: str = "acme", plan: str = "pro-example", **ids: Any) -> dict[str, str]:
        """Do what the guide's snippet does."""
        async with self.http.post(
            f"{self.shop(site)}/api/checkout/create",
            json={"planId": plan, **ids},
            headers={"Origin": self.shop(site)},
        ) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def click(self, checkout: dict[str, str], button: str) -> None:
        """Press a button on the example company's checkout page."""
        async with self.http.post(checkout["url"], data={"do": button}, allow_redirects=False) as answer:
            assert answer.status == 303

    async def paid(self, site: str = "acme", **ids: Any) -> str:
        """Buy and pay; return the order id once the thank-you page is at its end."""
        checkout = await self.order(site, **ids)
        await self.click(checkout, "pay")
        await self.until(f"/thanks?order={checkout['orderId']}", site, lambda page: 'http-equiv="refresh"' not in page)
        return checkout["orderId"]

    async def until(self, path: str, site: str, there: Any) -> str:
        """Look at a page again until it is as it should be."""
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            page = await self.page(path, site)
            if there(page):
                return page
            assert time.monotonic() < deadline, page
            await asyncio.sleep(0.05)

    async def recorded(self, site: str = "acme") -> list[dict[str, Any]]:
        async with self.http.get(f"{self.demo.addresses.faurya}/stand-in/records", params={"site": site}) as answer:
            return (await answer.json())["recorded"]


def verdict(page: str) -> str:
    found = re.search(r'id="verdict">([^<]+)<', page)
    assert found, page
    return found[1]


@asynccontextmanager
async def visited(data_dir: Path, *, fresh: bool = False) -> AsyncIterator[Buyer]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(held(data_dir))
        if fresh:
            folder.forget()
        running = await stack.enter_async_context(demo(folder, port=0, registry=PluginRegistry()))
        jar = aiohttp.CookieJar(unsafe=True)  # addresses are numbers here
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
        yield Buyer(running, http)


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="buyer")
async def _buyer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Buyer]:
    async with visited(tmp_path_factory.mktemp("demo") / "data") as buyer:
        yield buyer


async def test_a_sale_goes_from_the_shop_to_faurya_and_its_story_can_be_read(buyer: Buyer) -> None:
    order = await buyer.paid(**IDS)
    (line,) = [line for line in await buyer.recorded() if line["order_id"] == order]
    assert (line["amount"], line["visitor_id"]) == ("49.00", IDS["faVisitorId"])
    assert (line["session_id"], line["token"]) == (IDS["faSessionId"], IDS["faAttributionToken"])
    thanks = await buyer.page(f"/thanks?order={order}")
    assert "Recorded in Faurya" in thanks
    assert "Example confirmed 49.00 USD" in thanks
    story = await buyer.page(f"/trace/{order}")
    assert verdict(story) == "attributed"
    assert f"for visitor {IDS['faVisitorId']}" in story
    assert order in await buyer.page("/sales")


@pytest.mark.parametrize(
    ("site", "sent", "arrival"), [("acme", 1, "Recorded in Faurya"), ("globex", 0, "Booked, not sent to Faurya")]
)
async def test_a_sale_without_faurya_s_script_is_seen_to_belong_to_nobody(
    buyer: Buyer, site: str, sent: int, arrival: str
) -> None:
    before = len(await buyer.recorded(site))
    order = await buyer.paid(site)
    assert arrival in await buyer.page(f"/thanks?order={order}", site)
    assert verdict(await buyer.page(f"/trace/{order}", site)) == "unattributed"
    assert len(await buyer.recorded(site)) - before == sent


@pytest.mark.parametrize(("site", "status"), [("acme", "recorded"), ("globex", "skipped")])
async def test_a_refund_appears_in_the_story_of_its_sale(buyer: Buyer, site: str, status: str) -> None:
    checkout = await buyer.order(site, **IDS)
    await buyer.click(checkout, "pay")
    path = f"/trace/{checkout['orderId']}"
    await buyer.until(path, site, lambda page: "attributed" in page)
    await buyer.click(checkout, "refund")
    story = await buyer.until(path, site, lambda page: "refund:ref_" in page and "pending" not in page)
    refund = story[story.rindex("refund:ref_") :]
    assert status in refund, refund


async def test_the_checkout_knows_the_way_back_to_the_thank_you_page(buyer: Buyer) -> None:
    checkout = await buyer.order(**IDS)
    (back,) = parse_qs(urlsplit(checkout["url"]).query)["return_to"]
    assert back == f"{buyer.shop()}/thanks?order={checkout['orderId']}"
    assert "Waiting for the money" in await buyer.page("/thanks"), "the latest order is remembered by a cookie"
    assert verdict(await buyer.page(f"/trace/{checkout['orderId']}")) == "pending"


async def test_a_refusal_of_the_gateway_reaches_the_page_as_it_is(buyer: Buyer) -> None:
    address = f"{buyer.shop()}/api/checkout/create"
    async with buyer.http.post(address, json={"planId": "gold"}, headers={"Origin": buyer.shop()}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (422, "unknown_plan")
        assert answer.headers["X-Request-Id"]
    elsewhere = {"Origin": buyer.shop("globex").replace("127.0.0.1", "localhost")}
    async with buyer.http.post(address, json={"planId": "pro"}, headers=elsewhere) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "origin_not_allowed")


async def test_the_first_provider_is_paddle_and_the_page_offers_every_one_with_a_stand_in(buyer: Buyer) -> None:
    page = await buyer.page("/")
    assert page.index("?provider=paddle") < page.index("?provider=example")
    assert 'data-plan="pro"' in page
    assert "65.00 USD" in page
    chosen = await buyer.page("/?provider=example")
    assert 'data-plan="pro-example"' in chosen
    assert "49.00 USD" in chosen
    assert 'data-plan="pro"' in await buyer.page("/?provider=nobody")


async def test_every_plan_of_every_shop_can_be_ordered(buyer: Buyer) -> None:
    for site in buyer.demo.addresses.shops:
        for plan in ("pro", "pro-example"):
            assert (await buyer.order(site, plan))["url"].startswith("http://127.0.0.1:")


async def test_a_browser_stays_the_same_visitor_until_it_becomes_another(buyer: Buyer) -> None:
    async def seen(be: str | None = None) -> list[str]:
        if be is not None:
            form = {"be": be, "provider": "example"}
            async with buyer.http.post(f"{buyer.shop('globex')}/visitor", data=form) as answer:
                assert answer.url.query["provider"] == "example"
        page = await buyer.page("/", "globex")
        return re.findall(r'"__FAURYA_VISITOR_ID__": "([^"]+)"', page)

    first = await seen()
    assert first[0].startswith("site_globex:visitor_")
    assert await seen() == first
    second = await seen("another")
    assert second != first
    assert await seen("without") == []
    assert await seen("with") == second


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/thanks?order=nobody", 404),
        ("/thanks?order=%00", 404),
        ("/trace/nobody", 404),
        ("/trace/a%2Fb%00", 404),
        ("/trace/%ED%A0%80", 404),
        ("/trace?id=", 200),
    ],
)
async def test_an_id_that_nobody_knows_gets_a_page_that_says_so(buyer: Buyer, path: str, status: int) -> None:
    await buyer.page(path, status=status)


async def test_the_written_configuration_serves_other_commands_and_holds_no_real_address(buyer: Buyer) -> None:
    text = buyer.demo.config_path.read_text()
    content = YAML(typ="safe").load(text)
    assert set(content["sites"]) == {"acme", "globex"}
    assert {site["faurya"]["api"] for site in content["sites"].values()} == {"revenue", "payments"}
    hosts = {urlsplit(address).hostname for address in re.findall(r"https?://[^\s]+", text)}
    assert hosts == {"127.0.0.1"}


async def test_sales_outlive_a_restart_until_somebody_asks_for_a_fresh_start(tmp_path: Path) -> None:
    async with visited(tmp_path / "data") as buyer:
        order = await buyer.paid(**IDS)
    async with visited(tmp_path / "data") as buyer:
        assert verdict(await buyer.page(f"/trace/{order}")) == "attributed"
        assert order in await buyer.page("/sales")
    async with visited(tmp_path / "data", fresh=True) as buyer:
        await buyer.page(f"/trace/{order}", status=404)
        assert "Nothing was bought yet" in await buyer.page("/sales")


async def test_without_a_provider_that_has_a_stand_in_there_is_no_demo(tmp_path: Path) -> None:
    with held(tmp_path / "data") as folder, pytest.raises(NoProvider, match="install one"):
        async with demo(folder, port=0, registry=PluginRegistry([])):
            pass


class Odd(BaseModel):
    """Settings as other plugins may have them."""

    environment: Literal["sandbox", "live"]
    key_id: str
    key: SecretStr
    secrets: Annotated[tuple[Annotated[SecretStr, Field(min_length=1)], ...], Field(min_length=1)]
    maybe: SecretStr | None
    region: Literal["eu", "us"]
    base_url: str
    page: str = "unset"


class Bare:
    """A plugin with these settings and nothing else."""

    api, name, config_model = API, "bare", Odd
    metadata_limits = MetadataLimits(keys=1, key_chars=1, value_chars=1)

    def open(self, config: Any, runtime: Runtime) -> Any:
        return object()


def test_settings_are_made_up_from_the_plugin_s_model_and_differ_by_site() -> None:
    one, other = (settings(Bare(), site, "http://127.0.0.1:1") for site in ("acme", "globex"))
    Odd.model_validate({"environment": "sandbox", **one})
    assert set(one) == {"key_id", "key", "secrets", "maybe", "region", "base_url"}
    assert (one["base_url"], one["region"]) == ("http://127.0.0.1:1", "eu")
    assert one["key"] != other["key"]
    assert one["secrets"] != other["secrets"]
    assert settings(Bare(), "acme", "http://127.0.0.1:1") == one


def test_a_plugin_may_say_its_own_settings() -> None:
    class Own(Bare):
        def demo_settings(self, address: str) -> dict[str, str]:
            return {"key": "rzp_test_1", "endpoint": address}

    assert settings(Own(), "acme", "http://127.0.0.1:1") == {"key": "rzp_test_1", "endpoint": "http://127.0.0.1:1"}


class Broken(Bare):
    name = "broken"

    def open(self, config: Any, runtime: Runtime) -> Any:
        raise RuntimeError("no")


class Demanding(Bare):
    name = "demanding"

    class config_model(BaseModel):  # noqa: N801 - the interface's name
        shards: int


PLUGINS = {"bare": Bare(), "broken": Broken(), "demanding": Demanding()}


async def test_a_plugin_that_has_no_stand_in_or_does_not_work_is_left_out() -> None:
    found = [EntryPoint(name, f"{__name__}:PLUGINS", ENTRY_POINT_GROUP) for name in (*PLUGINS, "absent")]
    registry = PluginRegistry([*entry_points(group=ENTRY_POINT_GROUP), *found])
    registry._loaded.update(PLUGINS)
    async with aiohttp.ClientSession() as http:
        runtime = Runtime(http=http, now=lambda: datetime(2026, 9, 1, tzinfo=UTC))
        providers = await demo_providers(registry, runtime, "paddle")
    names = [provider.name for provider in providers]
    assert names[0] == "paddle"
    assert "example" in names
    assert not set(PLUGINS) & set(names)


async def test_a_plan_s_own_price_is_shown_and_a_provider_that_has_to_be_asked_shows_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = PluginRegistry()
    plugin = registry.plugin("example")
    async with aiohttp.ClientSession() as http:
        runtime = Runtime(http=http, now=lambda: datetime(2026, 9, 1, tzinfo=UTC))
        monkeypatch.setattr(type(plugin), "demo_plan", {"amount": {"value": "19.00", "currency": "EUR"}}, raising=False)
        priced = await demo_providers(registry, runtime, "example")
    assert (priced[0].price, priced[0].plan["amount"]["currency"]) == ("19.00 EUR", "EUR")


def test_a_busy_port_is_replaced_by_a_free_one() -> None:
    with take(0) as first:
        port = first.getsockname()[1]
        with take(port) as second:
            assert second.getsockname()[1] != port
            with socket.create_connection(second.getsockname(), timeout=5):
                assert address_of(second) == f"http://127.0.0.1:{second.getsockname()[1]}"


def test_a_second_demo_on_the_same_folder_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    with held(tmp_path / "data") as folder:
        folder.note("http://127.0.0.1:8090")
        with pytest.raises(DemoRuns, match=r"http://127\.0\.0\.1:8090.*--data-dir"), held(tmp_path / "data"):
            pass
    with held(tmp_path / "data"):
        pass


def test_only_folders_of_the_gateway_are_used_and_emptied(tmp_path: Path) -> None:
    foreign = tmp_path / "papers"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(EmbeddedFolderError, match=r"thesis\.txt"), held(foreign):
        pass
    with held(tmp_path / "data") as folder:
        folder.database.mkdir()
        (folder.database / "thesis.txt").write_text("mine")
        folder.forget()
        assert (folder.database / "thesis.txt").exists()


def test_a_visitor_keeps_the_cookies_that_are_there() -> None:
    draws = iter(["a", "b", "c", "d"])

    def draw(_count: int) -> str:
        return next(draws)

    first = visitors.visitor_of("acme", {}, draw)
    assert first == visitors.Visitor("site_acme:visitor_a", "session_b", "token_c")
    cookies = {cookie.name: cookie.value for cookie in visitors.remembered("acme", first)}
    assert visitors.visitor_of("acme", cookies, draw) == first
    del cookies["faurya_session_id_acme"]
    assert visitors.visitor_of("acme", cookies, draw).session_id == "session_d"
    assert visitors.visitor_of("globex", cookies, lambda _: "e").visitor_id == "site_globex:visitor_e"
    assert list(first.globals) == [
        "__FAURYA_VISITOR_ID__",
        "__FAURYA_SESSION_ID__",
        "__FAURYA_ATTRIBUTION_TOKEN__",
    ]


def test_every_verdict_and_status_that_matters_has_a_colour() -> None:
    from typing import get_args

    from gateway.flows.verdict import Word

    assert set(TONES) == set(get_args(Word))
    assert {status.value for status in Status} - set(STATUS_TONES) == {"pending", "skipped"}


async def test_the_banner_off_a_terminal_is_plain_and_names_every_address(buyer: Buyer) -> None:
    from gateway.cli.dev import print_banner

    out = io.StringIO()
    print_banner(buyer.demo, Console(file=out, soft_wrap=True))
    text = out.getvalue()
    assert "\x1b" not in text
    addresses = buyer.demo.addresses
    for address in (*addresses.shops.values(), addresses.faurya, addresses.gateway, str(buyer.demo.config_path)):
        assert address in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_needs_no_environment_and_ends_cleanly_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    environment = {"PATH": os.environ["PATH"], "COLUMNS": "80"}
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--data-dir", str(tmp_path / "data")],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        while not (lines and "Ctrl-C" in lines[-1]):
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()[1]
        process.send_signal(number)
        out, errors = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, errors
        assert "Traceback" not in out + errors
        assert not (tmp_path / "data" / "dev" / "database" / "postgres" / "postmaster.pid").exists()
    finally:
        process.kill()
        process.communicate()
