"""
Handing the page's checkout call on to the gateway, as the site's own reverse proxy would: same body, same Origin.

Two things are the shop's own. It remembers the order for its thank-you page, and it appends `return_to` to the address
of the checkout: a stand-in's checkout page leads back there. (At a real provider the address to come back to is set at
the payment page or in the configuration.)
"""

import orjson
from aiohttp import ClientError, web
from yarl import URL

from gateway.dev.shop import NEVER_KEPT, SHOP

HANDED_ON = ("Content-Type", "Origin", "Host", "Idempotency-Key", "X-Request-Id")
HANDED_BACK = ("Content-Type", "Retry-After", "X-Request-Id")

ORDER_SECONDS = 3600


def order_cookie(site: str) -> str:
    """Return the name of the cookie that holds the latest order at a site's shop."""
    return f"order_{site}"


async def create_checkout(request: web.Request) -> web.Response:
    """Hand the call on and its answer back."""
    shop = request.app[SHOP]
    headers = {name: request.headers[name] for name in HANDED_ON if name in request.headers}
    target = f"{shop.addresses.gateway}/api/checkout/create"
    try:
        async with shop.http.post(target, data=await request.read(), headers=headers) as answer:
            status, body, said = answer.status, await answer.read(), answer.headers
    except (ClientError, TimeoutError):
        return web.json_response({"detail": "the gateway does not answer"}, status=502)
    response = web.Response(status=status, headers={name: said[name] for name in HANDED_BACK if name in said})
    response.headers.update(NEVER_KEPT)
    if status == 200:
        created = orjson.loads(body)
        url = with_way_back(created["url"], shop.address, created["orderId"])
        body = orjson.dumps({**created, "url": url})
        name = order_cookie(shop.site.name)
        response.set_cookie(name, created["orderId"], max_age=ORDER_SECONDS, samesite="Lax", httponly=True)
    response.body = body
    return response


def with_way_back(url: str, shop: str, order: str) -> str:
    """Return the address of a checkout that knows where its buyer came from."""
    back = URL(f"{shop}/thanks").with_query(order=order)
    return str(URL(url).update_query(return_to=str(back)))
