"""The stand-in's pages and its JSON for tests."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import aiohttp_jinja2
import jinja2
import orjson
from aiohttp import web
from pydantic import ValidationError

from gateway.dev.faurya_stand_in.books import Books
from gateway.dev.faurya_stand_in.keys import BOOKS, SITES
from gateway.dev.faurya_stand_in.payments import UNATTRIBUTED, Payment, Recorded, Refused
from gateway.dev.faurya_stand_in.switches import Switches
from gateway.domain.money import exponent

ROWS_SHOWN = 200
"""Newest lines of each table on the page; the JSON has all of them."""


ORDERS = {"next_status", "next_message"}
CUTS = {"drop", "drop_times"}
"""Switches that do nothing once their count is down to 0."""


def add_to(app: web.Application) -> None:
    """Add the pages and the control addresses to the stand-in."""
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("gateway.dev", "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    app.add_routes(
        [
            web.get("/", _records_page),
            web.get("/switches", _switches_page),
            web.post("/switches", _take_form),
            web.get("/stand-in/switches", _get_switches),
            web.put("/stand-in/switches", _put_switches),
            web.get("/stand-in/records", _get_records),
            web.delete("/stand-in/records", _delete_records),
        ]
    )


def shown(payment: Payment) -> str:
    """Return the amount as a person reads it: "65.00 USD", with more places where the number sent has more."""
    places = max(exponent(payment.currency), _places(payment.major))
    return f"{payment.major:,.{places}f} {payment.currency}"


def _places(number: Decimal) -> int:
    power = number.normalize().as_tuple().exponent
    return max(-power, 0) if isinstance(power, int) else 0


def totals(lines: Sequence[Recorded]) -> list[tuple[str, str, int, str]]:
    """Return (who, currency, lines, amount) for each visitor, unattributed revenue last."""
    sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    for line in lines:
        key = (line.payment.who, line.payment.currency)
        sums[key] += line.payment.major
        counts[key] += 1
    order = sorted(sums, key=lambda key: (key[0] == UNATTRIBUTED, key))
    return [(who, code, counts[who, code], f"{sums[who, code]:,.{exponent(code)}f}") for who, code in order]


@aiohttp_jinja2.template("faurya_records.html")
async def _records_page(request: web.Request) -> Mapping[str, Any]:
    books = request.app[BOOKS]
    names = [site.name for site in request.app[SITES]]
    sections = [_section(books, name) for name in names]
    strangers = [refused for refused in books.refused if refused.site is None]
    return {"sections": sections, "strangers": strangers[: -ROWS_SHOWN - 1 : -1], "changed": _changed(books.switches)}


def _section(books: Books, site: str) -> Mapping[str, Any]:
    lines = [line for line in books.recorded if line.payment.site == site]
    refused = [refusal for refusal in books.refused if refusal.site == site]
    return {
        "site": site,
        "totals": totals(lines),
        "count": len(lines),
        "lines": [(line, shown(line.payment)) for line in lines[: -ROWS_SHOWN - 1 : -1]],
        "refused_count": len(refused),
        "refused": refused[: -ROWS_SHOWN - 1 : -1],
    }


def _changed(switches: Switches) -> list[tuple[str, str]]:
    """Return the switches that are not as they were at first and still do something, as (title, value)."""
    usual = Switches()
    spent = (set() if switches.next_times else ORDERS) | (set() if switches.drop_times else CUTS)
    names = [name for name in Switches.model_fields if name not in spent]
    changed = [name for name in names if getattr(switches, name) != getattr(usual, name)]
    return [(Switches.model_fields[name].title or name, _as_text(getattr(switches, name))) for name in changed]


def _as_text(value: object) -> str:
    if isinstance(value, frozenset):
        return "\n".join(sorted(value))
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


@aiohttp_jinja2.template("faurya_switches.html")
async def _switches_page(request: web.Request) -> Mapping[str, Any]:
    return {"fields": _fields(request.app[BOOKS].switches), "faults": []}


def _fields(switches: Switches) -> list[Mapping[str, Any]]:
    return [_field(name, getattr(switches, name)) for name in Switches.model_fields]


def _field(name: str, value: object) -> Mapping[str, Any]:
    """Describe a switch to the form: what it is called, how it is entered, what it says now."""
    match value:
        case bool():
            form, choices = "checkbox", []
        case StrEnum():
            form, choices = "select", [choice.value for choice in type(value)]
        case frozenset():
            form, choices = "textarea", []
        case int() | float():
            form, choices = "number", []
        case _:
            form, choices = "text", []
    title = Switches.model_fields[name].title
    return {
        "name": name,
        "title": title,
        "form": form,
        "choices": choices,
        "text": _as_text(value),
        "on": value is True,
    }


async def _take_form(request: web.Request) -> web.Response:
    _refuse_other_sites(request)
    form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    books = request.app[BOOKS]
    if "forget" in form:
        books.forget()
        raise web.HTTPSeeOther("/")
    unchecked = {name: "off" for name, value in books.switches if isinstance(value, bool)}
    try:
        books.switches = Switches.model_validate(unchecked | form)
    except ValidationError as wrong:
        context = {"fields": _fields(books.switches), "faults": _faults(wrong)}
        return aiohttp_jinja2.render_template("faurya_switches.html", request, context, status=400)
    raise web.HTTPSeeOther("/switches")


def _refuse_other_sites(request: web.Request) -> None:
    """Refuse a form that another site's page sends: the browser names that page's origin."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise web.HTTPForbidden(text="this form is only for the stand-in's own page")


async def _get_switches(request: web.Request) -> web.Response:
    return _switches_json(request.app[BOOKS].switches)


async def _put_switches(request: web.Request) -> web.Response:
    books = request.app[BOOKS]
    try:
        wanted = orjson.loads(await request.read())
        changed = Switches.model_validate(books.switches.model_dump() | wanted)
    except ValidationError as wrong:
        return web.json_response({"errors": _faults(wrong)}, status=400)
    except (orjson.JSONDecodeError, TypeError):
        return web.json_response({"errors": ["the body must be a JSON object of switches"]}, status=400)
    books.switches = changed
    return _switches_json(changed)


def _switches_json(switches: Switches) -> web.Response:
    return web.json_response(switches.model_dump(mode="json"))


def _faults(wrong: ValidationError) -> list[str]:
    found = wrong.errors(include_url=False, include_input=False)
    return [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in found]


async def _get_records(request: web.Request) -> web.Response:
    books, site = request.app[BOOKS], request.query.get("site")
    lines = [line for line in books.recorded if site in (None, line.payment.site)]
    refused = [refusal for refusal in books.refused if site in (None, refusal.site)]
    return web.json_response(
        {"recorded": [_line(line) for line in lines], "refused": [_refusal(one) for one in refused]}
    )


def _line(line: Recorded) -> Mapping[str, Any]:
    payment = line.payment
    return {
        "at": line.at.isoformat(),
        "site": payment.site,
        "path": payment.path,
        "event": payment.event,
        "sent": str(payment.amount),
        "amount": str(payment.major),
        "currency": payment.currency,
        "provider": payment.provider,
        "order_id": payment.order_id,
        "payment_id": payment.payment_id,
        "visitor_id": payment.visitor_id,
        "session_id": payment.session_id,
        "token": payment.token,
        "idempotency_key": payment.ids.get("Idempotency-Key"),
        "repeat": line.repeat,
    }


def _refusal(one: Refused) -> Mapping[str, Any]:
    return {"at": one.at.isoformat(), "site": one.site, "path": one.path, "status": one.status, "why": one.why}


async def _delete_records(request: web.Request) -> web.Response:
    request.app[BOOKS].forget()
    return web.Response(status=204)
