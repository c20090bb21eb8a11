"""What the pages of a demo shop share: what the shop knows, and how a page is made."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp_jinja2
import jinja2
from aiohttp import ClientSession, web

from gateway.dev.providers import DemoProvider
from gateway.dev.sites import SITES, Addresses, DemoSite
from gateway.domain.money import Money
from gateway.store.pool import Database

NEVER_KEPT = {"Cache-Control": "no-store"}
"""So that the browser's Back button shows things as they are now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What the shop's pages know."""

    site: DemoSite
    providers: Sequence[DemoProvider]
    addresses: Addresses
    database: Database
    http: ClientSession

    @property
    def address(self) -> str:
        """Where this shop is."""
        return self.addresses.shops[self.site.name]

    def title_of(self, provider: str) -> str:
        """Return how people write a provider's name."""
        return next((known.title for known in self.providers if known.name == provider), provider)


SHOP = web.AppKey("shop", Shop)


def set_up(app: web.Application, shop: Shop) -> None:
    """Let an application render the pages of this shop."""
    app[SHOP] = shop
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("gateway.dev", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        filters=FILTERS,
    )


def render(request: web.Request, template: str, status: int = 200, /, **values: Any) -> web.Response:
    """Return a page that is fetched anew every time it is looked at."""
    response = aiohttp_jinja2.render_template(template, request, _surroundings(request) | values, status=status)
    response.headers.update(NEVER_KEPT)
    return response


def _surroundings(request: web.Request) -> dict[str, Any]:
    """Return what every page of the shop names: itself, the other shops, Faurya."""
    shop = request.app[SHOP]
    others = [(site, shop.addresses.shops[site.name]) for site in SITES if site != shop.site]
    return {"site": shop.site, "others": others, "faurya": shop.addresses.faurya, "path": request.path}


def _money(minor: int, currency: str) -> str:
    return str(Money(minor, currency))


def _clock(moment: str | None) -> str:
    """Return the time of day of an ISO moment in UTC, to the millisecond."""
    return moment[11:23].removesuffix("+00:00") if moment else ""


FILTERS: Mapping[str, Callable[..., str]] = {"money": _money, "clock": _clock}
