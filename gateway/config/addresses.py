"""
Hosts, origins, web addresses and networks.

Every message is built without the value, which may be a secret in the wrong place. A parser accepts its own result.
All raise `ValueError`.
"""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from yarl import URL

_HOST = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_.])?|[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*")
_UNFIT = re.compile(r"[\s\\\x00-\x1f\x7f]")
_PORTS = {"http": 80, "https": 443}
_FAURYA_PATHS = ("/api/revenue", "/api/v1/payments", "/api/v1", "/api")

NOT_AN_ADDRESS = "must be an address that begins with https:// or http://"


def is_loopback(host: str) -> bool:
    """Say whether a host name or address can only be this machine."""
    name = host.strip("[]").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def parse_origin(value: object) -> str:
    """Return an origin as browsers send it: scheme://host[:port], lower case, without a path or a default port."""
    text, url = _web_address(value)
    if url.raw_path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError("must be an origin, scheme://host[:port], without a path")
    return _origin_of(url)


def parse_base_url(value: object) -> str:
    """Return an address to which paths are added: normalized, without query, fragment or trailing slash."""
    text, url = _web_address(value)
    if "?" in text or "#" in text:
        raise ValueError("must not have a query (?) or a fragment (#)")
    return _origin_of(url) + url.raw_path.rstrip("/")


def parse_faurya_url(value: object) -> str:
    """Return the base address of Faurya. The keys travel there, so plain http is only for this machine."""
    base = parse_base_url(value)
    url = URL(base)
    if url.scheme == "http" and not is_loopback(url.host or ""):
        raise ValueError("must be https: the key would travel in the clear (http is only for this machine)")
    if url.raw_path.endswith(_FAURYA_PATHS):
        raise ValueError("must be the address before /api: the gateway adds the path itself")
    return base


def parse_page(value: object) -> str:
    """Return the address of a page as it was written: providers put their own placeholders into it."""
    return _web_address(value)[0]


def parse_host(value: object) -> str:
    """Return a host name or address to listen on."""
    if not isinstance(value, str) or not _HOST.fullmatch(value.lower()):
        raise ValueError("must be a host name or an address to listen on, without a scheme or port")
    return value


def parse_network(value: object) -> IPv4Network | IPv6Network:
    """Return an IP network; one address is a network of itself."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        if isinstance(value, str):
            return ip_network(value)
    except ValueError:
        pass
    raise ValueError("must be an IP network such as 10.0.0.0/8, without bits after the prefix")


def _web_address(value: object) -> tuple[str, URL]:
    """Return the text and its parts, of an absolute http or https address without credentials."""
    if not isinstance(value, str) or _UNFIT.search(value):
        raise ValueError(NOT_AN_ADDRESS)
    try:
        url = URL(value)
        host = url.raw_host
    except ValueError:
        raise ValueError(NOT_AN_ADDRESS) from None
    if url.scheme not in _PORTS:
        raise ValueError(NOT_AN_ADDRESS)
    if "@" in url.raw_authority:
        raise ValueError("must not contain a user name or password")
    if host is None or not _HOST.fullmatch(host) or url.port == 0:
        raise ValueError("must name one host after https://, without a wildcard, and a port from 1 to 65535 or none")
    return value, url


def _origin_of(url: URL) -> str:
    port = "" if url.explicit_port in (None, _PORTS[url.scheme]) else f":{url.explicit_port}"
    return f"{url.scheme}://{url.host_subcomponent}{port}"
