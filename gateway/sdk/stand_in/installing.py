"""Adding to an application what every stand-in has."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from gateway.sdk.stand_in import levers as shared
from gateway.sdk.stand_in.levers import Levers
from gateway.sdk.stand_in.pages import Pages
from gateway.sdk.stand_in.sending import Deliveries


def install(app: web.Application, deliveries: Deliveries, *, levers: Levers, pages: Pages, address: str) -> None:
    """Add the levers and the page of deliveries, and stop the deliveries when the application stops."""
    app.add_routes([*shared.routes(deliveries, levers), *pages.of_deliveries(deliveries, address)])

    async def stop(_app: web.Application) -> AsyncIterator[None]:
        yield
        await deliveries.close()

    app.cleanup_ctx.append(stop)
