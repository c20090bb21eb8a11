import pytest
from pydantic import ValidationError

from providers.razorpay.config import RazorpayConfig, RazorpayOptions

GOOD = {"environment": "sandbox", "key_id": "rzp_test_1", "key_secret": "secret1", "webhook_secrets": ["hook"]}


def problems(**changes):
    with pytest.raises(ValidationError) as caught:
        RazorpayConfig(**{**GOOD, **changes})
    return {".".join(map(str, one["loc"])): one["msg"] for one in caught.value.errors()}


def test_both_environments_have_one_address():
    assert RazorpayConfig(**GOOD).api_address == "https://api.razorpay.com"
    live = {**GOOD, "environment": "live", "key_id": "rzp_live_1"}
    assert RazorpayConfig(**live).api_address == "https://api.razorpay.com"


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://proxy.example.com/razorpay/", "https://proxy.example.com/razorpay"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000/", "http://[::1]:9000"),
        (" http://localhost:9000 ", "http://localhost:9000"),
        ("", "https://api.razorpay.com"),
        (None, "https://api.razorpay.com"),
    ],
)
def test_base_url_replaces_the_address(given, address):
    assert RazorpayConfig(**GOOD, base_url=given).api_address == address


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("http://api.razorpay.com", "https"),
        ("http://10.0.0.1", "https"),
        ("ftp://api.razorpay.com", "whole address"),
        ("api.razorpay.com", "whole address"),
        ("https://user:secret@api.razorpay.com", "without user"),
        ("https://api.razorpay.com/?a=b", "without ?"),
        ("https://api.razorpay.com/#a", "without ?"),
        ("https://host:port", "whole address"),
        ("https://" + "a" * 2100 + ".com", "whole address"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(given, why):
    assert why in problems(base_url=given)["base_url"]


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("key_id", "rzp_live_1", "is a live key (rzp_live_...)"),
        ("key_id", "", "rzp_test_"),
        ("key_id", "rzp_test_1:secret", "alone"),
        ("key_id", "rzp_test_1 secret", "alone"),
        ("key_secret", "", "empty"),
        ("key_secret", "two words", "space"),
        ("key_secret", "rzp_test_1", "is a key id"),
        ("webhook_secrets", [], "at least 1"),
        ("webhook_secrets", ["fine", " \n"], "number 2"),
        ("webhook_secrets", ["two\nlines"], "number 1"),
        ("environment", "test", "'sandbox' or 'live'"),
        ("list_disputes", "perhaps", "boolean"),
        ("tolerance_seconds", 60, "not permitted"),
    ],
)
def test_a_mistake_is_named(field, value, why):
    found = problems(**{field: value})
    assert list(found) == [field]
    assert why in found[field]


def test_a_test_key_in_the_live_environment_is_refused():
    assert "environment" in problems(environment="live")["key_id"]


def test_line_ends_of_secrets_are_dropped_and_blanks_within_are_kept():
    config = RazorpayConfig(**{**GOOD, "key_id": " rzp_test_1\n", "webhook_secrets": ["my own secret\n"]})
    assert config.key_id == "rzp_test_1"
    assert config.webhook_secrets[0].get_secret_value() == "my own secret"
    again = RazorpayConfig.model_validate(config.model_dump())
    assert again == config


def test_no_secret_shows():
    text = repr(RazorpayConfig(**{**GOOD, "key_secret": "s3cr3t", "webhook_secrets": ["h00k"]}))
    assert "s3cr3t" not in text
    assert "h00k" not in text
    assert "h00k" not in str(problems(webhook_secrets=["h00k\n1"]))


@pytest.mark.parametrize("given", [{"description": ""}, {"description": "x" * 2049}, {"notify": True}])
def test_options_that_razorpay_does_not_take_are_refused(given):
    with pytest.raises(ValidationError):
        RazorpayOptions(**given)


def test_a_description_is_optional():
    assert RazorpayOptions().description is None
    assert RazorpayOptions(description="x" * 2048).description
