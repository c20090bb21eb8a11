"""
The demo shop of one site: what a team would have to build, and the pages that show what became of it.

    GET  /                       the page to buy on; `?provider=` chooses who is paid
    POST /visitor                be another visitor, or one without Faurya's script
    POST /api/checkout/create    handed on to the gateway, as the site's reverse proxy would
    GET  /thanks                 where the buyer comes back to
    GET  /sales                  what was bought in this shop, also before a restart
    GET  /trace/{id}             the whole story of a sale
"""

from aiohttp import web

from gateway.dev import buying, forwarding, stories
from gateway.dev.shop import Shop, set_up


def application(shop: Shop) -> web.Application:
    """Return the shop as an application to be served on loopback."""
    app = web.Application()
    set_up(app, shop)
    app.add_routes(
        [
            web.get("/", buying.shop_page),
            web.post("/visitor", buying.change_visitor),
            web.post("/api/checkout/create", forwarding.create_checkout),
            web.get("/thanks", stories.thanks_page),
            web.get("/sales", stories.sales_page),
            web.get("/trace", stories.look_up),
            web.get("/trace/{id:.+}", stories.trace_page),
        ]
    )
    return app
