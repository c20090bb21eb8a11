from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from gateway.sdk import (
    ApiAddress,
    OptionalText,
    SecretText,
    WebhookSecrets,
    WholeNumber,
    check_address_environment,
    check_key_environment,
    is_web_address,
    plain_secret,
    web_address,
    webhook_secrets_of,
)

APIS = {"sandbox": "https://sandbox.example.com", "live": "https://api.example.com"}
PREFIXES = {"sandbox": ("sk_test_", "rk_test_"), "live": ("sk_live_",)}


class Settings(BaseModel):
    """What the settings of a plugin look like."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"] = "sandbox"
    base_url: ApiAddress = None
    api_key: SecretText = SecretStr("key")
    webhook_secrets: WebhookSecrets = Field(default=[SecretStr("secret")])
    tolerance_seconds: WholeNumber = Field(default=300, ge=1)
    page: OptionalText = None


def complaint(**given):
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    [error] = caught.value.errors()
    return error["loc"][0], error["msg"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("", None),
        (" \n", None),
        ("https://proxy.example.com/api/", "https://proxy.example.com/api"),
        (" https://proxy.example.com ", "https://proxy.example.com"),
        ("http://localhost:9000/", "http://localhost:9000"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_the_address_of_an_api_has_no_slash_at_its_end_and_may_be_absent(given, kept):
    assert Settings(base_url=given).base_url == kept


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("api.example.com", "whole address"),
        ("ftp://api.example.com", "whole address"),
        ("https://", "whole address"),
        ("https://[", "whole address"),
        ("https://host:port", "whole address"),
        ("https://user@api.example.com", "without user"),
        ("https://user:hidden@api.example.com", "without user or password"),
        ("https://a.example/" + "x" * 2048, "whole address"),
        ("https://api.example.com/?a=b", "without ? and #"),
        ("https://api.example.com/#a", "without ? and #"),
        ("http://api.example.com", "must be https"),
        ("http://10.0.0.1", "must be https"),
        (5, "valid string"),
    ],
)
def test_an_address_that_a_key_must_not_travel_to_is_refused(given, why):
    field, message = complaint(base_url=given)
    assert field == "base_url"
    assert why in message
    assert "hidden" not in message


def test_a_secret_loses_what_copying_brought_along():
    made = Settings(api_key=" key\n", webhook_secrets=[" one\n", SecretStr("two ")])
    assert made.api_key == SecretStr("key")
    assert webhook_secrets_of(made.webhook_secrets, "") == ["one", "two"]
    assert "two" not in repr(made)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("api_key", 7),
        ("webhook_secrets", []),
        ("webhook_secrets", "one"),
        ("webhook_secrets", [None]),
        ("tolerance_seconds", True),
        ("tolerance_seconds", 0),
        ("page", 7),
    ],
)
def test_what_is_of_another_type_is_refused_at_its_key(field, given):
    assert complaint(**{field: given})[0] == field


@pytest.mark.parametrize(("given", "kept"), [(" ", None), (None, None), ("text", "text")])
def test_empty_text_means_not_set(given, kept):
    assert Settings(page=given).page == kept


def test_a_plain_secret_is_given_back():
    assert plain_secret(SecretStr("sk_1~!"), "make one") == "sk_1~!"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must not be empty: make one"),
        ("hidden words", "copy it again"),
        ("hidden\nend", "copy it again"),
        ("hidden\u00e9", "copy it again"),
        ("hidden\x7f", "copy it again"),
    ],
)
def test_a_secret_that_is_not_plain_is_refused_without_showing_it(text, why):
    with pytest.raises(ValueError, match=why) as caught:
        plain_secret(SecretStr(text), "make one")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "typed", "why"),
    [
        (["one", ""], False, "number 2 is empty: copy it"),
        (["one", ""], True, "number 2 is empty: copy it"),
        (["hidden words"], False, "number 1 contains a space"),
        (["hidden\nend"], True, "number 1 contains a line end"),
        (["hidden\udcff"], True, "number 1 contains a line end"),
    ],
)
def test_a_webhook_secret_that_cannot_be_used_is_named_by_its_number(texts, typed, why):
    with pytest.raises(ValueError, match=why) as caught:
        webhook_secrets_of([SecretStr(text) for text in texts], "copy it", typed=typed)
    assert "hidden" not in str(caught.value)


def test_a_secret_that_people_make_up_may_have_blanks_and_any_letters():
    assert webhook_secrets_of([SecretStr("my own s\u00e9cret")], "", typed=True) == ["my own s\u00e9cret"]


@pytest.mark.parametrize(
    ("key", "environment", "why"),
    [
        ("sk_test_1", "sandbox", None),
        ("rk_test_1", "sandbox", None),
        ("sk_live_1", "live", None),
        ("older", "live", None),
        ("rk_test_1", "live", r"is a sandbox key \(rk_test_...\), but environment is live"),
        ("sk_live_1", "sandbox", r"is a live key \(sk_live_...\), but environment is sandbox"),
    ],
)
def test_a_key_of_another_environment_is_refused(key, environment, why):
    if why is None:
        check_key_environment(key, environment, PREFIXES)
    else:
        with pytest.raises(ValueError, match=why):
            check_key_environment(key, environment, PREFIXES)


def test_the_address_of_another_environment_is_refused():
    for address, environment in ((APIS["live"], "live"), ("https://proxy.example.com", "live")):
        check_address_environment(address, environment, APIS)
    with pytest.raises(ValueError, match="is the live API: set environment to live"):
        check_address_environment("https://api.example.com/v1", "sandbox", APIS)


def test_a_web_address_may_have_a_query():
    assert str(web_address(" https://shop.example.com/pay?a=b ")) == "https://shop.example.com/pay?a=b"


@pytest.mark.parametrize(
    ("value", "usable"),
    [
        ("https://pay.example.com/1", True),
        ("http://127.0.0.1:9000/pay", True),
        ("javascript:alert(1)", False),
        ("/pay", False),
        ("https://[", False),
        ("", False),
        (None, False),
        (7, False),
    ],
)
def test_a_browser_is_sent_to_web_addresses_only(value, usable):
    assert is_web_address(value) is usable
