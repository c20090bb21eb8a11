"""Who is calling, and over what: forwarded headers are believed from trusted proxies only, read from the right."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import web

from gateway.config import Server
from gateway.web.errors import Problem

Networks = Sequence[IPv4Network | IPv6Network]


def client_of(request: web.Request, trusted: Networks) -> tuple[str | None, bool]:
    """Return the caller's address and whether it came over HTTPS."""
    peer, secure = request.remote, request.secure
    if not _is_trusted(peer, trusted):
        return peer, secure
    protocols = _listed(request, "X-Forwarded-Proto")
    if protocols:
        secure = protocols[-1].lower() == "https"
    for address in reversed(_listed(request, "X-Forwarded-For")):
        peer = _bare(address)
        if peer is None or not _is_trusted(peer, trusted):
            break
    return peer, secure


def _listed(request: web.Request, name: str) -> list[str]:
    values = ",".join(request.headers.getall(name, []))
    return [value.strip() for value in values.split(",") if value.strip()]


def _is_trusted(address: str | None, trusted: Networks) -> bool:
    if address is None or not trusted:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(mapped in network for network in trusted)


def _bare(address: str) -> str | None:
    """Return the address without a port; None where it is not an address (some proxies say "unknown")."""
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        return str(ip_address(address))
    except ValueError:
        return None


def demand_https(server: Server, *, secure: bool) -> None:
    """Raise a 403 where HTTPS is required and was not used."""
    if server.require_https and not secure:
        raise Problem(
            403,
            "https_required",
            "use https; behind a proxy that ends TLS, list it in server.trusted_proxies and let it send "
            "X-Forwarded-Proto",
        )
