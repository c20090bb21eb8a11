"""The values that pass between the core and a plugin."""

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.errors import Malformed
from gateway.domain.messages import (
    MAX_URL,
    Checkout,
    CheckoutRequest,
    Delivery,
    Refused,
    Reply,
    WebhookRequest,
    headers_of,
)
from gateway.domain.messages import RefusalReason as Why

WHEN = datetime(2026, 11, 2, 12, tzinfo=UTC)


def test_headers_are_case_insensitive_keep_repeats_and_cannot_be_changed():
    headers = headers_of([("X-Sig", "one"), ("x-sig", "two")])
    assert headers["x-SIG"] == "one"
    assert headers.getall("X-SIG") == ["one", "two"]
    assert headers.get("absent") is None
    with pytest.raises(TypeError):
        headers["x-sig"] = "three"


def test_headers_do_not_follow_the_list_that_they_were_made_from():
    pairs = [("a", "1")]
    headers = headers_of(pairs)
    pairs.append(("b", "2"))
    assert list(headers.items()) == [("a", "1")]
    assert len(headers_of()) == 0


def test_a_request_shows_nothing_that_may_hold_a_secret():
    request = WebhookRequest(
        method="POST",
        url="https://pay.test/webhooks/acme/gumroad?token=url-secret",
        headers=headers_of([("Authorization", "Basic header-secret")]),
        body=b"body-secret",
        received_at=WHEN,
        remote_ip="192.0.2.7",
    )
    delivery = Delivery(request=request, proof="signature")
    assert "secret" not in repr(request)
    assert "secret" not in repr(delivery)
    assert "POST" in repr(request)


def test_a_checkout_request_shows_no_personal_data():
    request = CheckoutRequest(
        reference="o-1", idempotency_key="k", customer_email="buyer@example.com", customer_ip="192.0.2.7"
    )
    assert "buyer@" not in repr(request)
    assert "192.0.2.7" not in repr(request)
    assert "o-1" in repr(request)


def test_a_refusal_is_a_401_unless_the_provider_needs_another():
    assert Refused(reason=Why.HEADER_MISSING).reply == Reply(401)
    assert Refused(reason=Why.HEADER_MISSING, reply=Reply(403)).reply.status == 403


@pytest.mark.parametrize("checkout_id", [None, ""])
def test_a_checkout_without_an_id_has_none(checkout_id):
    assert Checkout(url="https://provider.test/c", checkout_id=checkout_id).checkout_id is None


@pytest.mark.parametrize("expires_at", [None, WHEN, WHEN + timedelta(days=1)])
def test_a_checkout_may_expire(expires_at):
    opened = Checkout(url="u" * MAX_URL, checkout_id="chk_1", expires_at=expires_at)
    assert (opened.checkout_id, opened.expires_at) == ("chk_1", expires_at)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"url": ""}, "url must not be empty"),
        ({"url": None}, "url must be a string"),
        ({"url": "https://a.test/\0"}, "url contains a NUL"),
        ({"url": "u" * (MAX_URL + 1)}, "url has 2049 characters"),
        ({"checkout_id": 7}, "checkout_id must be a string"),
        ({"checkout_id": "\ud800"}, "checkout_id contains"),
        ({"expires_at": datetime(2026, 11, 2)}, "expires_at must be a datetime with a time zone"),
        ({"expires_at": "2026-11-02T12:00:00Z"}, "expires_at must be a datetime with a time zone"),
        ({"expires_at": 1793620800}, "expires_at must be a datetime with a time zone"),
    ],
)
def test_a_checkout_that_cannot_be_kept_is_malformed(fields, says):
    with pytest.raises(Malformed, match=says):
        Checkout(**{"url": "https://provider.test/c", **fields})
