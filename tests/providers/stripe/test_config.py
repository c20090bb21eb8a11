import pytest
from pydantic import SecretStr, ValidationError

from providers.stripe.config import StripeConfig, StripeOptions
from tests.providers.stripe.conftest import KEY, SECRET

LIVE_KEY = "sk_live_invented"


def config(**changes):
    values = {"environment": "sandbox", "api_key": KEY, "webhook_secrets": [SECRET], **changes}
    return StripeConfig.model_validate({name: value for name, value in values.items() if value is not ...})


def mistake(**changes):
    with pytest.raises(ValidationError) as caught:
        config(**changes)
    return caught.value


def test_three_keys_are_enough():
    made = config()
    assert (made.tolerance_seconds, made.base_url, made.api_address) == (300, None, "https://api.stripe.com")
    assert config(environment="live", api_key=LIVE_KEY).api_address == "https://api.stripe.com"


@pytest.mark.parametrize("missing", ["environment", "api_key", "webhook_secrets"])
def test_a_missing_key_is_a_mistake(missing):
    assert mistake(**{missing: ...}).errors()[0]["loc"] == (missing,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "test"),
        ("api_key", ""),
        ("api_key", "   "),
        ("api_key", "two words"),
        ("api_key", "line\nend"),
        ("api_key", "schlüssel"),
        ("api_key", 17),
        ("api_key", "pk_test_1"),
        ("api_key", "whsec_1"),
        ("webhook_secrets", []),
        ("webhook_secrets", "whsec_1"),
        ("webhook_secrets", [""]),
        ("webhook_secrets", ["whsec_1", " \n"]),
        ("webhook_secrets", ["two words"]),
        ("webhook_secrets", ["sk_test_1"]),
        ("webhook_secrets", ["whsec_1", "we_1"]),
        ("webhook_secrets", [None]),
        ("tolerance_seconds", 0),
        ("tolerance_seconds", 3601),
        ("tolerance_seconds", True),
        ("tolerance_seconds", "soon"),
        ("base_url", "http://api.example.com"),
        ("base_url", "http://10.0.0.1"),
        ("base_url", "ftp://api.example.com"),
        ("base_url", "api.example.com"),
        ("base_url", "https://user:pass@api.example.com"),
        ("base_url", "https://api.example.com?a=b"),
        ("base_url", "https://api.example.com/#x"),
        ("base_url", "https://["),
        ("base_url", "https://" + "a" * 2048),
        ("base_url", 5),
        ("unknown", 1),
    ],
)
def test_a_mistake_is_told_at_its_key(field, value):
    assert mistake(**{field: value}).errors()[0]["loc"][0] == field


@pytest.mark.parametrize(
    ("environment", "key", "fits"),
    [
        ("sandbox", "sk_test_1", True),
        ("sandbox", "rk_test_1", True),
        ("sandbox", "sk_live_1", False),
        ("sandbox", "rk_live_1", False),
        ("live", "sk_live_1", True),
        ("live", "rk_live_1", True),
        ("live", "sk_test_1", False),
        ("live", "rk_test_1", False),
        ("live", "an_older_key", True),
    ],
)
def test_a_key_fits_its_environment(environment, key, fits):
    if fits:
        assert config(environment=environment, api_key=key)
    else:
        found = mistake(environment=environment, api_key=key).errors()
        assert found[0]["loc"] == ("api_key",)
        assert "use that one's key" in found[0]["msg"]


def test_a_bad_environment_brings_no_second_complaint_about_the_key():
    assert [one["loc"] for one in mistake(environment="?", api_key=LIVE_KEY).errors()] == [("environment",)]


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://[::1]:9000/stripe/", "http://[::1]:9000/stripe"),
        ("https://proxy.example.com/stripe", "https://proxy.example.com/stripe"),
        ("", "https://api.stripe.com"),
        (None, "https://api.stripe.com"),
    ],
)
def test_the_api_address_has_no_slash_at_the_end(given, address):
    assert config(base_url=given).api_address == address


def test_whitespace_around_secrets_is_dropped():
    made = config(api_key=f" {KEY}\n", webhook_secrets=[" one\n", SecretStr("two ")])
    assert made.api_key.get_secret_value() == KEY
    assert [secret.get_secret_value() for secret in made.webhook_secrets] == ["one", "two"]


def test_it_is_frozen_and_shows_no_secret():
    made = config()
    assert KEY not in repr(made) + str(made) + made.model_dump_json()
    assert SECRET not in repr(made) + str(made) + made.model_dump_json()
    with pytest.raises(ValidationError, match="frozen"):
        made.tolerance_seconds = 5


def test_mistakes_do_not_show_the_secret():
    assert "hidden words" not in str(mistake(api_key="hidden words"))
    assert "hidden words" not in str(mistake(webhook_secrets=["hidden words"]))


def test_a_plan_need_not_choose_anything():
    made = StripeOptions()
    assert (made.mode, made.allow_promotion_codes, made.automatic_tax, made.trial_days) == (None, False, False, None)


@pytest.mark.parametrize(
    "options", [{"mode": "setup"}, {"trial_days": 0}, {"trial_days": True}, {"product_name": ""}, {"x": 1}]
)
def test_an_option_that_does_not_exist_is_a_mistake(options):
    with pytest.raises(ValidationError):
        StripeOptions.model_validate(options)
