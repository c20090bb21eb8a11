import pytest
from pydantic import SecretStr, ValidationError

from providers.paddle.config import PaddleConfig

SANDBOX_KEY = "pdl_sdbx_apikey_" + "a" * 26
LIVE_KEY = "pdl_live_apikey_" + "a" * 26
OLD_KEY = "0123456789abcdef" * 3 + "ab"


def config(**changes):
    values = {"environment": "sandbox", "api_key": SANDBOX_KEY, "webhook_secrets": ["pdl_ntfset_1"], **changes}
    return PaddleConfig.model_validate({name: value for name, value in values.items() if value is not ...})


def mistake(**changes):
    with pytest.raises(ValidationError) as caught:
        config(**changes)
    return caught.value


def test_three_keys_are_enough():
    made = config()
    assert (made.tolerance_seconds, made.payment_page, made.base_url) == (60, None, None)
    assert made.api_address == "https://sandbox-api.paddle.com"
    assert config(environment="live", api_key=LIVE_KEY).api_address == "https://api.paddle.com"


@pytest.mark.parametrize("missing", ["environment", "api_key", "webhook_secrets"])
def test_a_missing_key_is_a_mistake(missing):
    assert mistake(**{missing: ...}).errors()[0]["loc"] == (missing,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "production"),
        ("api_key", ""),
        ("api_key", "   "),
        ("api_key", "two words"),
        ("api_key", "line\nend"),
        ("api_key", "schlüssel"),
        ("api_key", 17),
        ("webhook_secrets", []),
        ("webhook_secrets", "pdl_ntfset_1"),
        ("webhook_secrets", [""]),
        ("webhook_secrets", ["pdl_ntfset_1", " \n"]),
        ("webhook_secrets", ["two words"]),
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
        ("base_url", "https://api.paddle.com"),
        ("payment_page", "http://shop.example.com/pay"),
        ("payment_page", "https://shop.example.com/pay#x"),
        ("payment_page", "/pay"),
        ("unknown", 1),
    ],
)
def test_a_bad_value_is_named_at_its_key(field, value):
    problem = mistake(**{field: value}).errors()[0]
    assert problem["loc"][0] == field


@pytest.mark.parametrize(
    ("environment", "key", "fits"),
    [
        ("sandbox", SANDBOX_KEY, True),
        ("live", LIVE_KEY, True),
        ("sandbox", OLD_KEY, True),
        ("live", OLD_KEY, True),
        ("sandbox", LIVE_KEY, False),
        ("live", SANDBOX_KEY, False),
    ],
)
def test_a_key_fits_its_environment(environment, key, fits):
    if fits:
        assert config(environment=environment, api_key=key)
    else:
        problem = mistake(environment=environment, api_key=key)
        assert problem.errors()[0]["loc"] == ("api_key",)
        assert key not in str(problem)
        assert key[-26:] not in problem.errors()[0]["msg"]


def test_another_base_url_takes_any_key():
    assert config(base_url="http://127.0.0.1:9000", api_key=LIVE_KEY).api_address == "http://127.0.0.1:9000"


def test_a_bad_base_url_brings_no_second_complaint_about_the_key():
    assert [one["loc"] for one in mistake(base_url="nowhere", api_key=LIVE_KEY).errors()] == [("base_url",)]


def test_a_bad_environment_brings_no_second_complaint_about_the_key_or_the_address():
    found = mistake(environment="?", api_key=LIVE_KEY, base_url="https://api.paddle.com").errors()
    assert [one["loc"] for one in found] == [("environment",)]


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://[::1]:9000/paddle/", "http://[::1]:9000/paddle"),
        ("https://proxy.example.com/paddle", "https://proxy.example.com/paddle"),
        ("https://sandbox-api.paddle.com", "https://sandbox-api.paddle.com"),
        ("", "https://sandbox-api.paddle.com"),
        (None, "https://sandbox-api.paddle.com"),
    ],
)
def test_the_api_address_has_no_slash_at_the_end(given, address):
    assert config(base_url=given).api_address == address


def test_whitespace_around_secrets_is_dropped():
    made = config(api_key=f" {SANDBOX_KEY}\n", webhook_secrets=[" one\n", SecretStr("two ")])
    assert made.api_key.get_secret_value() == SANDBOX_KEY
    assert [secret.get_secret_value() for secret in made.webhook_secrets] == ["one", "two"]


def test_a_payment_page_is_kept_and_an_empty_one_is_none():
    assert config(payment_page="https://shop.example.com/pay?a=b").payment_page == "https://shop.example.com/pay?a=b"
    assert config(payment_page="").payment_page is None
    assert config(payment_page=None).payment_page is None


def test_it_is_frozen_and_shows_no_secret():
    made = config()
    assert SANDBOX_KEY not in repr(made) + str(made)
    assert "pdl_ntfset_1" not in repr(made) + str(made) + made.model_dump_json()
    with pytest.raises(ValidationError, match="frozen"):
        made.tolerance_seconds = 5


def test_mistakes_do_not_show_the_secret():
    assert "hidden words" not in str(mistake(api_key="hidden words"))
    assert "hidden words" not in str(mistake(webhook_secrets=["hidden words"]))
