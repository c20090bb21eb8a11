"""The errors between the gateway and a provider speak for themselves."""

from datetime import timedelta

import pytest

from gateway.domain.errors import Malformed, ProviderError, Rejected, Unavailable, Unsupported


@pytest.mark.parametrize("error", [Unavailable, Malformed, Rejected, Unsupported])
def test_every_error_is_a_provider_error_and_no_other(error):
    assert issubclass(error, ProviderError)
    others = {Unavailable, Malformed, Rejected, Unsupported} - {error}
    assert not any(issubclass(error, other) for other in others)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ProviderError, "Something between the gateway and a payment provider went wrong."),
        (Unavailable, "The provider cannot answer now; the same call may succeed later."),
        (Malformed, "The content cannot be understood, now or later; it is kept for a person to look at."),
        (Rejected, "The provider refused our request."),
        (Unsupported, "This provider has no such thing."),
    ],
)
@pytest.mark.parametrize("message", [(), (None,), ("",)])
def test_without_a_message_an_error_says_in_one_line_what_it_is(error, says, message):
    assert str(error(*message)) == says


@pytest.mark.parametrize("error", [ProviderError, Unavailable, Malformed, Rejected, Unsupported])
def test_a_message_is_kept(error):
    assert str(error("the page is gone")) == "the page is gone"


def test_an_error_without_a_docstring_says_its_name():
    class Odd(ProviderError):
        pass

    Odd.__doc__ = None
    assert str(Odd()) == "Odd"


def test_what_the_caller_needs_travels_with_the_error():
    away = Unavailable("busy", retry_after=timedelta(seconds=30))
    assert (away.retry_after, Unavailable().retry_after) == (timedelta(seconds=30), None)
    refused = Rejected("no default payment link", code="transaction_default_checkout_url_not_set", request_id="req_1")
    assert (refused.code, refused.request_id) == ("transaction_default_checkout_url_not_set", "req_1")
    assert (Rejected().code, Rejected().request_id) == (None, None)
