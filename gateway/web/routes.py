"""The list of what is served."""

import re
import secrets

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.domain.text import printable
from gateway.telemetry import log
from gateway.web import checkouts, health, webhooks
from gateway.web.errors import Problem, as_problem, respond
from gateway.web.gateway import GATEWAY, Gateway

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
PROBES = (
    web.get("/healthz", health.alive),
    web.get("/readyz", health.ready),
)
METRICS = (web.get("/metrics", health.metrics),)
ROUTES = (
    web.post("/webhooks/{site}/{connection}", webhooks.receive),
    web.get("/webhooks/{site}/{connection}", webhooks.receive, allow_head=False),
    web.post("/checkouts/{site}", checkouts.create_for_site),
    web.options("/checkouts/{site}", checkouts.preflight),
    web.post("/api/checkout/create", checkouts.create_for_origin),
    web.options("/api/checkout/create", checkouts.preflight),
)
CORS_PATHS = ("/checkouts/", "/api/checkout/")
MAX_PATH = 200


@web.middleware
async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every answer a request id, every error its problem, and the site's pages the right to read it."""
    sent = request.headers.get("X-Request-Id", "")
    request_id = sent if REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
    bound = structlog.contextvars.bind_contextvars(request_id=request_id)  # `bound_contextvars` copies all of them
    try:
        response = await handler(request)
    except Exception as error:  # noqa: BLE001 - the border: whatever happened, the caller gets a problem
        response = respond(_problem(error, request), request_id)
    finally:
        structlog.contextvars.reset_contextvars(**bound)
    if request.path.startswith(CORS_PATHS):
        response.headers.update(checkouts.cors_headers(request, request.app[GATEWAY].live()))
    response.headers["X-Request-Id"] = request_id
    return response


def _problem(error: Exception, request: web.Request) -> Problem:
    problem = as_problem(error)
    if problem is None:
        log().error("request.failed", exc_info=error)
        problem = Problem(500, "internal_error", "something went wrong here; the log has the request id")
    if problem.code != "webhook_refused":  # that one has its own line
        path = printable(request.path, MAX_PATH)
        log().info("request.rejected", method=request.method, path=path, status=problem.status, code=problem.code)
    return problem


async def _named(_request: web.Request, response: web.StreamResponse) -> None:
    """Name the few answers that aiohttp gives before the middleware is asked."""
    if "X-Request-Id" not in response.headers:
        response.headers["X-Request-Id"] = secrets.token_hex(8)


def application(gateway: Gateway, *, with_metrics: bool) -> web.Application:
    """Return the gateway's application; the metrics may be served on a port of their own instead."""
    app = web.Application(middlewares=[answered])
    app[GATEWAY] = gateway
    app.on_response_prepare.append(_named)
    app.add_routes([*PROBES, *ROUTES, *(METRICS if with_metrics else ())])
    return app


def metrics_application(gateway: Gateway) -> web.Application:
    """Return the application of the metrics' own port."""
    app = web.Application(middlewares=[answered])
    app[GATEWAY] = gateway
    app.add_routes(METRICS)
    return app
