"""Hosts, origins, web addresses and networks."""

from ipaddress import ip_network

import pytest

from gateway.config import addresses

ADDRESS = "must be an address that begins with https:// or http://"
HOST = "must name one host"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://www.acme.example", "https://www.acme.example"),
        ("HTTPS://WWW.Acme.Example/", "https://www.acme.example"),
        ("https://acme.example:443", "https://acme.example"),
        ("http://acme.example:80", "http://acme.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_what_browsers_send(value, expected):
    assert addresses.parse_origin(value) == expected
    assert addresses.parse_origin(expected) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("https://acme.example/shop", "without a path"),
        ("https://acme.example?", "without a path"),
        ("https://acme.example/#x", "without a path"),
        ("acme.example", ADDRESS),
        ("ftp://acme.example", ADDRESS),
        ("null", ADDRESS),
        ("*", ADDRESS),
        ("", ADDRESS),
        (7, ADDRESS),
        (" https://acme.example", ADDRESS),
        ("https://acme.example\\@evil.example", ADDRESS),
        ("https://acme.example:99999", ADDRESS),
        ("https://[::1", ADDRESS),
        ("https://*.acme.example", HOST),
        ("https://", HOST),
        ("https://acme.example:0", HOST),
        ("https://user:secret@acme.example", "user name or password"),
    ],
)
def test_what_is_no_origin_is_refused_without_quoting_it(value, message):
    with pytest.raises(ValueError, match=message) as caught:
        addresses.parse_origin(value)
    assert "acme.example" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("https://Pay.Example.com/", "https://pay.example.com"),
        ("https://pay.example.com/hooks/", "https://pay.example.com/hooks"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_a_base_address_has_no_slash_at_its_end(value, expected):
    assert addresses.parse_base_url(value) == expected
    assert addresses.parse_base_url(expected) == expected


@pytest.mark.parametrize("value", ["https://pay.example.com?x=1", "https://pay.example.com/#x"])
def test_a_base_address_has_no_query(value):
    with pytest.raises(ValueError, match="query"):
        addresses.parse_base_url(value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "faurya.localhost", "[::1]"])
def test_faurya_on_this_machine_may_be_http(host):
    assert addresses.parse_faurya_url(f"http://{host}:4000") == f"http://{host}:4000"


@pytest.mark.parametrize("host", ["faurya.example", "10.0.0.1", "localhost.example", "[2001:db8::1]", "127.example"])
def test_faurya_elsewhere_must_be_https(host):
    with pytest.raises(ValueError, match="in the clear"):
        addresses.parse_faurya_url(f"http://{host}")
    assert addresses.parse_faurya_url(f"https://{host}") == f"https://{host}"


@pytest.mark.parametrize("path", ["/api/revenue", "/api/revenue/", "/api/v1/payments", "/x/api/v1", "/api"])
def test_the_path_of_fauryas_api_is_not_part_of_its_address(path):
    with pytest.raises(ValueError, match="before /api"):
        addresses.parse_faurya_url(f"https://faurya.example{path}")


def test_a_page_keeps_the_placeholders_of_providers():
    page = "https://acme.example/thanks?session={CHECKOUT_SESSION_ID}#done"
    assert addresses.parse_page(page) == page
    with pytest.raises(ValueError, match=ADDRESS):
        addresses.parse_page("/thanks")


@pytest.mark.parametrize("value", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", "Gateway-1.internal"])
def test_a_host_is_a_name_or_an_address(value):
    assert addresses.parse_host(value) == value


@pytest.mark.parametrize("value", ["", "http://x", "127.0.0.1:8080", "a b", "*", 127])
def test_anything_else_is_no_host(value):
    with pytest.raises(ValueError, match="host name or an address"):
        addresses.parse_host(value)


@pytest.mark.parametrize("value", ["10.0.0.0/8", "10.1.2.3", "fd00::/8"])
def test_a_network_is_a_prefix_or_one_address(value):
    assert addresses.parse_network(value) == ip_network(value)
    assert addresses.parse_network(ip_network(value)) == ip_network(value)


@pytest.mark.parametrize("value", ["10.0.0.1/8", "10.0.0.0/33", "proxy.internal", "", 10, None])
def test_anything_else_is_no_network(value):
    with pytest.raises(ValueError, match="IP network"):
        addresses.parse_network(value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gateway", "mylocalhost", ""])
def test_a_host_that_others_reach_is_not_this_machine(host):
    assert not addresses.is_loopback(host)
