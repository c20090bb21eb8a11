"""`POST /webhooks/{site}/{connection}` (GET too: some providers send challenges or pings that way)."""

from time import perf_counter

from aiohttp import web

from gateway.domain.messages import Refused, Reply, WebhookRequest
from gateway.flows.book import webhook_url
from gateway.plugins import Live, Opened
from gateway.web.bodies import Body
from gateway.web.callers import client_of, demand_https
from gateway.web.errors import Problem
from gateway.web.gateway import GATEWAY, Gateway


async def receive(request: web.Request) -> web.Response:
    """Hand the webhook to the receiving flow; answer what it says."""
    gateway = request.app[GATEWAY]
    live = gateway.live()
    remote_ip, secure = client_of(request, live.config.server.trusted_proxies)
    demand_https(live.config.server, secure=secure)
    opened = _opened(live, request.match_info["site"], request.match_info["connection"])
    began = perf_counter()
    try:
        verdict = await _received(request, gateway, live, opened, remote_ip)
    finally:
        gateway.context.metrics.webhook_seconds.observe(perf_counter() - began)
    if isinstance(verdict, Refused):
        if not verdict.reply.body:
            raise _refused(verdict)
        verdict = verdict.reply
    # as a header, because aiohttp's own argument refuses "application/json; charset=utf-8"
    return web.Response(status=verdict.status, body=verdict.body, headers={"Content-Type": verdict.content_type})


async def _received(
    request: web.Request, gateway: Gateway, live: Live, opened: Opened, remote_ip: str | None
) -> Reply | Refused:
    server = live.config.server
    query = request.rel_url.raw_query_string
    try:
        async with Body(request, gateway.in_flight, server.max_body_bytes, server.body_deadline) as body:
            webhook = WebhookRequest(
                method=request.method,
                url=webhook_url(live.config, opened.site, opened.name, query),
                headers=request.headers,
                body=body,
                received_at=gateway.context.now(),
                remote_ip=remote_ip,
            )
            return await gateway.receiver.receive(opened, live, webhook, query)
    except Problem as problem:
        gateway.context.metrics.refused.labels(opened.site, opened.name, problem.code).inc()
        raise


def _refused(refused: Refused) -> Problem:
    extra: dict[str, object] = {"reason": refused.reason.value}
    if refused.seconds_off is not None:
        extra["seconds_off"] = refused.seconds_off
    return Problem(refused.reply.status, "webhook_refused", refused.detail or refused.reason.value, extra=extra)


def _opened(live: Live, name: str, connection: str) -> Opened:
    site = live.config.sites.get(name)
    if site is None:
        raise Problem(404, "unknown_site", "no site of this name is configured: compare the address with config.yaml")
    opened = live.connections.get((name, connection))
    if opened is None and connection in {*site.providers, *site.skipped}:
        raise Problem(503, "not_ready", "this connection's provider plugin is not loaded; see the gateway's log")
    if opened is None:
        raise Problem(404, "unknown_connection", "the site has no connection of this name: compare it with config.yaml")
    return opened
