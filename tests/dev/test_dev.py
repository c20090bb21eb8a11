"""The demo: a real embedded Postgres, real loopback HTTP, and a buyer without a browser."""

import asyncio
import io
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from rich.console import Console
from ruamel.yaml import YAML

from gateway.dev.demo import Demo, NoProvider, demo
from gateway.dev.folder import held
from gateway.plugins import PluginRegistry

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_SECONDS = 15.0
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


async def test_the_banner_off_a_terminal_is_plain_and_names_every_address(buyer: Buyer) -> None:
    from gateway.cli.dev import print_banner

    out = io.StringIO()
    print_banner(buyer.demo, Console(file=out, soft_wrap=True))
    text = out.getvalue()
    assert "\x1b" not in text
    addresses = buyer.demo.addresses
    for address in (*addresses.shops.values(), addresses.faurya, addresses.gateway, str(buyer.demo.config_path)):
        assert address in text
