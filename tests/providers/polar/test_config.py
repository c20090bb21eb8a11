import pytest
from pydantic import SecretStr, ValidationError

from providers.polar.config import PolarConfig
from tests.providers.polar.conftest import SECRET, TOKEN


def config(**changes):
    values = {"environment": "sandbox", "access_token": TOKEN, "webhook_secrets": [SECRET], **changes}
    return PolarConfig.model_validate({name: value for name, value in values.items() if value is not ...})


def mistake(**changes):
    with pytest.raises(ValidationError) as caught:
        config(**changes)
    return caught.value


def test_three_keys_are_enough():
    made = config()
    assert (made.tolerance_seconds, made.base_url) == (300, None)
    assert made.api_address == "https://sandbox-api.polar.sh"
    assert config(environment="live").api_address == "https://api.polar.sh"


@pytest.mark.parametrize("missing", ["environment", "access_token", "webhook_secrets"])
def test_a_missing_key_is_a_mistake(missing):
    assert mistake(**{missing: ...}).errors()[0]["loc"] == (missing,)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "production"),
        ("access_token", ""),
        ("access_token", "   "),
        ("access_token", "two words"),
        ("access_token", "line\nend"),
        ("access_token", "schlüssel"),
        ("access_token", 17),
        ("access_token", SECRET),
        ("access_token", "polar_whs_older"),
        ("webhook_secrets", []),
        ("webhook_secrets", SECRET),
        ("webhook_secrets", [""]),
        ("webhook_secrets", [SECRET, " \n"]),
        ("webhook_secrets", ["two words"]),
        ("webhook_secrets", [None]),
        ("webhook_secrets", [SECRET, TOKEN]),
        ("webhook_secrets", ["polar_pat_personal"]),
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
        ("base_url", "https://api.polar.sh"),
        ("unknown", 1),
    ],
)
def test_a_bad_value_is_named_at_its_key(field, value):
    assert mistake(**{field: value}).errors()[0]["loc"][0] == field


def test_a_secret_in_the_wrong_place_is_told_where_it_belongs():
    assert "belongs into webhook_secrets" in mistake(access_token=SECRET).errors()[0]["msg"]
    assert "belongs into access_token" in mistake(webhook_secrets=[SECRET, TOKEN]).errors()[0]["msg"]


def test_a_bad_environment_brings_no_second_complaint_about_the_address():
    found = mistake(environment="?", base_url="https://api.polar.sh").errors()
    assert [one["loc"] for one in found] == [("environment",)]


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://[::1]:9000/polar/", "http://[::1]:9000/polar"),
        ("https://proxy.example.com/polar", "https://proxy.example.com/polar"),
        ("https://sandbox-api.polar.sh", "https://sandbox-api.polar.sh"),
        ("", "https://sandbox-api.polar.sh"),
        (None, "https://sandbox-api.polar.sh"),
    ],
)
def test_the_api_address_has_no_slash_at_the_end(given, address):
    assert config(base_url=given).api_address == address


def test_whitespace_around_secrets_is_dropped():
    made = config(access_token=f" {TOKEN}\n", webhook_secrets=[" one\n", SecretStr("two ")])
    assert made.access_token.get_secret_value() == TOKEN
    assert [secret.get_secret_value() for secret in made.webhook_secrets] == ["one", "two"]


def test_it_is_frozen_and_shows_no_secret():
    made = config()
    assert TOKEN not in repr(made) + str(made)
    assert SECRET not in repr(made) + str(made) + made.model_dump_json()
    with pytest.raises(ValidationError, match="frozen"):
        made.tolerance_seconds = 5


def test_mistakes_do_not_show_the_secret():
    assert "hidden words" not in str(mistake(access_token="hidden words"))
    assert SECRET not in str(mistake(access_token=SECRET))
    assert TOKEN not in str(mistake(webhook_secrets=[TOKEN]))
