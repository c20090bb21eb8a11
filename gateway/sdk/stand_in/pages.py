"""
Pages rendered on the server, which work without JavaScript.

A provider's template extends `base.html` and fills its block `page`; a `brand.css` beside it changes colours and form.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web
from yarl import URL

from gateway.sdk.stand_in.sending import Deliveries

SHOWN = 200
"""The latest webhooks on the page; `/stand-in/deliveries.json` has all."""

HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}

Column = tuple[str, str | None, str | None]
"""A heading, and which parts of a webhook's `about` stand under it: as text, and below it as code."""


class Pages:
    """The pages of a company's stand-in: the templates in `folder`, and those that all stand-ins share."""

    def __init__(self, company: str, folder: Path, columns: Sequence[Column]) -> None:
        """`company` is the name as people read it, `columns` what the page of deliveries shows of a webhook."""
        self._columns = columns
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader([folder, Path(__file__).parent / "templates"]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(company=company, refresh=False)

    def answer(self, template: str, status: int = 200, /, **values: Any) -> web.Response:
        """Return a page. With `refresh` it loads itself again after a second."""
        text = self._templates.get_template(template).render(**values)
        return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)

    def missing(self, noun: str, name: str | None = None) -> web.Response:
        """Answer 404: there is no `noun` called `name`."""
        return self.answer("missing.html", 404, title=f"No such {noun}", noun=noun, name=name)

    def of_deliveries(self, deliveries: Deliveries, address: str) -> Sequence[web.RouteDef]:
        """Return the routes of the page that shows the webhooks, newest first."""

        async def page(_request: web.Request) -> web.Response:
            rows = [webhook.shown() for webhook in deliveries.log[-SHOWN:]][::-1]
            about = {"target": deliveries.target, "notice": deliveries.notice(), "address": address}
            return self.answer("deliveries.html", title="Webhooks", rows=rows, columns=self._columns, **about)

        return [web.get("/", page), web.get("/stand-in/deliveries", page)]


def web_address(text: str | None) -> str | None:
    """Return `text` if it is a whole http or https address: only such things become links."""
    try:
        usable = text is not None and URL(text).scheme in ("http", "https") and bool(URL(text).host)
    except ValueError:
        usable = False
    return text if usable else None
