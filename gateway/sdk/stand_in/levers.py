"""
Levers for tests and demonstrations, all JSON: `POST /stand-in/<lever>`.

They are no part of a company's API and need no key: a stand-in serves one machine. A mistake in what a lever takes is
400, what cannot be done now is 409, both with `errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.domain.errors import Malformed
from gateway.sdk.stand_in.pages import web_address
from gateway.sdk.stand_in.sending import Deliveries
from gateway.sdk.stand_in.settings import Failure, NotPossible, Settings


class Lever(BaseModel):
    """What a lever takes; unknown names are mistakes."""

    model_config = ConfigDict(extra="forbid")


class Fail(Lever):
    """Let the next attempts to deliver fail."""

    next: int = Field(default=1, ge=0, le=1000)
    how: Failure = "unsent"


class FailApi(Lever):
    """Let the next API calls fail."""

    next: int = Field(default=1, ge=0, le=1000)
    status: int = Field(default=503, ge=400, le=599)


class Change(Lever):
    """What `settings` takes everywhere; providers add their own."""

    scale: float | None = Field(default=None, ge=0, le=100)
    timeout_seconds: float | None = Field(default=None, gt=0, le=60)
    return_to: str | None = None


Action = Callable[[web.Application, Any], Mapping[str, Any]]
Levers = Mapping[str, tuple[type[Lever], Action]]


def change(settings: Settings, what: Change, *, apart: Collection[str] = ()) -> dict[str, Any]:
    """Set what is given, except the names in `apart`; return it. `NotPossible` if `return_to` cannot be linked to."""
    if what.return_to is not None and web_address(what.return_to) is None:
        raise NotPossible("return_to must be an http or https address")
    given = what.model_dump(exclude=set(apart), exclude_none=True)
    for name, value in given.items():
        setattr(settings, name, value)
    return given


def routes(deliveries: Deliveries, levers: Levers) -> Sequence[web.RouteDef]:
    """Return the provider's levers, those of every stand-in, and what shows their effect."""

    async def settle(_request: web.Request) -> web.Response:
        await deliveries.settled()
        return web.json_response({"settled": True})

    async def listed(_request: web.Request) -> web.Response:
        return web.json_response([webhook.shown() for webhook in deliveries.log])

    every: Levers = {**levers, **_failing(deliveries.settings)}
    return [
        *(web.post(f"/stand-in/{name}", _pull(model, action)) for name, (model, action) in every.items()),
        web.post("/stand-in/settle", settle),
        web.get("/stand-in/deliveries.json", listed),
    ]


def _failing(settings: Settings) -> Levers:
    def fail(_app: web.Application, what: Fail) -> Mapping[str, Any]:
        settings.failures[:] = [what.how] * what.next
        return {}

    def fail_api(_app: web.Application, what: FailApi) -> Mapping[str, Any]:
        settings.api_failures[:] = [what.status] * what.next
        return {}

    return {"fail": (Fail, fail), "fail-api": (FailApi, fail_api)}


def _pull(model: type[Lever], action: Action) -> Callable[[web.Request], Any]:
    async def pull(request: web.Request) -> web.Response:
        try:
            return web.json_response({**action(request.app, model.model_validate_json(await request.read() or b"{}"))})
        except ValidationError as error:
            problems = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
            return web.Response(status=400, body=orjson.dumps({"errors": problems}), content_type="application/json")
        except (NotPossible, Malformed) as error:
            return web.json_response({"errors": [{"message": str(error)}]}, status=409)

    return pull
