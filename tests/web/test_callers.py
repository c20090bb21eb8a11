"""Who is calling: forwarded headers count only from trusted proxies, read from the right."""

from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from gateway.config import Server
from gateway.web.callers import client_of, demand_https
from gateway.web.errors import Problem

NOBODY: tuple[Any, ...] = ()
PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


def asked(peer: str | None, *headers: tuple[str, str], secure: bool = False) -> Any:
    request = make_mocked_request("POST", "/", headers=CIMultiDict(headers))
    return request.clone(remote=peer, scheme="https" if secure else "http")


FORWARDED = ("X-Forwarded-For", "203.0.113.9")


@pytest.mark.parametrize(
    ("request_", "trusted", "address"),
    [
        (asked("192.0.2.1"), NOBODY, "192.0.2.1"),
        (asked("192.0.2.1", FORWARDED), NOBODY, "192.0.2.1"),
        (asked("192.0.2.1", FORWARDED), PROXIES, "192.0.2.1"),
        (asked("10.0.0.1"), PROXIES, "10.0.0.1"),
        (asked("10.0.0.1", FORWARDED), PROXIES, "203.0.113.9"),
        (asked("2001:db8::1", FORWARDED), PROXIES, "203.0.113.9"),
        (asked("::ffff:10.0.0.1", FORWARDED), PROXIES, "203.0.113.9"),
        (asked("10.0.0.1", ("X-Forwarded-For", "1.1.1.1, 203.0.113.9, 10.9.9.9 ,10.8.8.8")), PROXIES, "203.0.113.9"),
        (asked("10.0.0.1", ("X-Forwarded-For", "1.1.1.1"), FORWARDED), PROXIES, "203.0.113.9"),
        (asked("10.0.0.1", ("X-Forwarded-For", "10.7.7.7, 10.8.8.8")), PROXIES, "10.7.7.7"),
        (asked("10.0.0.1", ("X-Forwarded-For", "203.0.113.9:4711")), PROXIES, "203.0.113.9"),
        (asked("10.0.0.1", ("X-Forwarded-For", "[2001:db9::5]:443")), PROXIES, "2001:db9::5"),
        (asked("10.0.0.1", ("X-Forwarded-For", "2001:db9::5")), PROXIES, "2001:db9::5"),
        (asked("10.0.0.1", ("X-Forwarded-For", "1.1.1.1, unknown")), PROXIES, None),
        (asked("10.0.0.1", ("X-Forwarded-For", "<script>")), PROXIES, None),
        (asked("10.0.0.1", ("X-Forwarded-For", " , ,")), PROXIES, "10.0.0.1"),
        (asked(None, FORWARDED), PROXIES, None),
        (asked("unix:", FORWARDED), PROXIES, "unix:"),
    ],
)
def test_the_address_is_the_last_one_that_no_proxy_of_ours_has(
    request_: Any, trusted: Any, address: str | None
) -> None:
    assert client_of(request_, trusted)[0] == address


@pytest.mark.parametrize(
    ("request_", "trusted", "secure"),
    [
        (asked("10.0.0.1"), PROXIES, False),
        (asked("10.0.0.1", secure=True), PROXIES, True),
        (asked("10.0.0.1", ("X-Forwarded-Proto", "https")), PROXIES, True),
        (asked("10.0.0.1", ("X-Forwarded-Proto", "HTTPS")), PROXIES, True),
        (asked("10.0.0.1", ("X-Forwarded-Proto", "https, http")), PROXIES, False),
        (asked("10.0.0.1", ("X-Forwarded-Proto", "http"), ("X-Forwarded-Proto", "https")), PROXIES, True),
        (asked("10.0.0.1", ("X-Forwarded-Proto", "http"), secure=True), PROXIES, False),
        (asked("10.0.0.1", ("X-Forwarded-Proto", "")), PROXIES, False),
        (asked("192.0.2.1", ("X-Forwarded-Proto", "https")), PROXIES, False),
        (asked("192.0.2.1", ("X-Forwarded-Proto", "https")), NOBODY, False),
        (asked("192.0.2.1", ("X-Forwarded-Proto", "http"), secure=True), PROXIES, True),
    ],
)
def test_only_a_proxy_of_ours_says_whether_it_was_https(request_: Any, trusted: Any, secure: bool) -> None:
    assert client_of(request_, trusted)[1] is secure


@pytest.mark.parametrize(
    ("settings", "secure", "allowed"),
    [
        ({"public_url": "https://pay.example.com"}, True, True),
        ({"public_url": "https://pay.example.com"}, False, False),
        ({"public_url": "https://pay.example.com", "require_https": False}, False, True),
        ({"public_url": "http://127.0.0.1:8080"}, False, True),
        ({"public_url": "http://127.0.0.1:8080", "require_https": True}, False, False),
    ],
)
def test_https_is_demanded_where_the_public_address_has_it_unless_told_otherwise(
    settings: dict[str, Any], secure: bool, allowed: bool
) -> None:
    server = Server(**settings)
    if allowed:
        demand_https(server, secure=secure)
        return
    with pytest.raises(Problem) as caught:
        demand_https(server, secure=secure)
    assert (caught.value.status, caught.value.code) == (403, "https_required")
