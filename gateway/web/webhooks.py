"""`POST /webhooks/{site}/{connection}` (GET too: some providers send challenges or pings that way)."""

from time import perf_counter

from aiohttp import web

from gateway.domain.messages import Refused, WebhookRequest
from gateway.flows.book import webhook_url
from gateway.plugins import Opened
from gateway.web.bodies import body_of
from gateway.web.callers import client_of, demand_https
from gateway.web.errors import Problem
from gateway.web.gateway import GATEWAY, Gateway


async def receive(request: web.Request) -> web.Response:
    """Hand the webhook to the receiving flow; answer what it says."""
    started = perf_counter()
    gateway = request.app[GATEWAY]
    live = gateway.live()
    server = live.config.server
    remote_ip, secure = client_of(request, server.trusted_proxies)
    demand_https(server, secure=secure)
    opened = _opened(gateway, request)
    query = request.rel_url.raw_query_string
    async with body_of(request, gateway.in_flight, server.max_body_bytes, server.body_deadline) as body:
        webhook = WebhookRequest(
            method=request.method,
            url=webhook_url(live.config, opened.site, opened.name, query),
            headers=request.headers,
            body=body,
            received_at=gateway.context.now(),
            remote_ip=remote_ip,
        )
        verdict = await gateway.receiver.receive(opened, live, webhook, query)
    gateway.context.metrics.webhook_seconds.observe(perf_counter() - started)
    if isinstance(verdict, Refused):
        if not verdict.reply.body:
            extra = {"reason": verdict.reason.value}
            raise Problem(verdict.reply.status, "webhook_refused", verdict.detail or verdict.reason.value, extra=extra)
        verdict = verdict.reply
    return web.Response(status=verdict.status, body=verdict.body, content_type=verdict.content_type)


def _opened(gateway: Gateway, request: web.Request) -> Opened:
    live = gateway.live()
    name, connection = request.match_info["site"], request.match_info["connection"]
    site = live.config.sites.get(name)
    if site is None:
        raise Problem(404, "unknown_site", "no site of this name is configured: compare the address with config.yaml")
    opened = live.connections.get((name, connection))
    if opened is None and connection in {*site.providers, *site.skipped}:
        raise Problem(503, "not_ready", "this connection's provider plugin is not loaded; see the gateway's log")
    if opened is None:
        raise Problem(404, "unknown_connection", "the site has no connection of this name: compare it with config.yaml")
    return opened
