"""The page to buy on, and who its visitor is."""

import secrets
from collections.abc import Sequence

from aiohttp import web
from yarl import URL

from gateway.dev import visitors
from gateway.dev.shop import SHOP, render
from gateway.dev.sites import plan_of


async def shop_page(request: web.Request) -> web.Response:
    """Show the product, the visitor and the button; a first visit makes the visitor up."""
    shop = request.app[SHOP]
    chosen = next((one for one in shop.providers if one.name == request.query.get("provider")), shop.providers[0])
    blocked = visitors.without_script_name(shop.site.name) in request.cookies
    visitor = visitors.visitor_of(shop.site.name, request.cookies, secrets.token_hex)
    response = render(
        request,
        "shop.html",
        chosen=chosen,
        providers=shop.providers,
        plan=plan_of(chosen, shop.providers),
        visitor=None if blocked else visitor,
    )
    _set(response, () if blocked else visitors.remembered(shop.site.name, visitor))
    return response


async def change_visitor(request: web.Request) -> web.Response:
    """Make the browser another visitor, one without Faurya's script, or the one with it again."""
    site = request.app[SHOP].site.name
    form = await request.post()
    be = form.get("be")
    without = visitors.Cookie(visitors.without_script_name(site), "yes" if be == "without" else "")
    visitor = visitors.remembered(site, visitors.visitor_of(site, {}, secrets.token_hex)) if be == "another" else ()
    page = URL("/").with_query(provider=str(form.get("provider", "")))
    response = web.Response(status=303, headers={"Location": str(page)})
    _set(response, (without, *visitor))
    return response


def _set(response: web.StreamResponse, cookies: Sequence[visitors.Cookie]) -> None:
    for cookie in cookies:
        if cookie.value:
            response.set_cookie(cookie.name, cookie.value, max_age=cookie.max_age, samesite="Lax")
        else:
            response.del_cookie(cookie.name, samesite="Lax")
