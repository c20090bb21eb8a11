import pytest
from pydantic import ValidationError

from providers.lemonsqueezy.config import LemonSqueezyConfig

GOOD = {"environment": "live", "api_key": "eyJ0.key", "webhook_secrets": ["s1"], "store_id": "4711"}
GONE = object()


def changed(**changes):
    given = {**GOOD, **changes}
    return {name: value for name, value in given.items() if value is not GONE}


def test_the_least_that_is_needed():
    config = LemonSqueezyConfig.model_validate(GOOD)
    assert config.api_address == "https://api.lemonsqueezy.com"
    assert (config.refund_days, config.settling_minutes) == (30, 10)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"store_id": 4711}, "store_id", "4711"),
        ({"store_id": " 4711\n"}, "store_id", "4711"),
        ({"base_url": ""}, "base_url", None),
        ({"base_url": " "}, "base_url", None),
        ({"base_url": "https://proxy.example.com/ls/"}, "base_url", "https://proxy.example.com/ls"),
        ({"base_url": "http://127.0.0.1:9000"}, "base_url", "http://127.0.0.1:9000"),
        ({"base_url": "http://localhost:9000/"}, "base_url", "http://localhost:9000"),
        ({"base_url": "http://[::1]:9000"}, "base_url", "http://[::1]:9000"),
        ({"refund_days": 0}, "refund_days", 0),
        ({"settling_minutes": 60}, "settling_minutes", 60),
    ],
)
def test_what_is_taken(changes, field, value):
    assert getattr(LemonSqueezyConfig.model_validate(changed(**changes)), field) == value


@pytest.mark.parametrize("secret", ["s1", " s1\n", "a secret with blanks", "geheim-ü"])
def test_secrets_lose_what_copying_brought_along(secret):
    config = LemonSqueezyConfig.model_validate(changed(api_key=" k\n", webhook_secrets=[secret]))
    assert config.api_key.get_secret_value() == "k"
    assert config.webhook_secrets[0].get_secret_value() == secret.strip()
    assert LemonSqueezyConfig.model_validate(changed(api_key=config.api_key)).api_key == config.api_key


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"environment": GONE}, "Field required"),
        ({"environment": "production"}, "'sandbox' or 'live'"),
        ({"api_key": GONE}, "Field required"),
        ({"api_key": ""}, "Settings > API"),
        ({"api_key": "two words"}, "copy it again"),
        ({"api_key": "kéy"}, "copy it again"),
        ({"api_key": 7}, "valid string"),
        ({"webhook_secrets": []}, "at least 1"),
        ({"webhook_secrets": "s1"}, "valid list"),
        ({"webhook_secrets": ["s1", " "]}, "number 2 is empty"),
        ({"webhook_secrets": ["a\nb"]}, "number 1 contains a line end"),
        ({"webhook_secrets": ["a\udcff"]}, "valid string|number 1 contains"),
        ({"store_id": GONE}, "Field required"),
        ({"store_id": "my-store"}, "number of the store"),
        ({"store_id": "#4711"}, "number of the store"),
        ({"store_id": "٤٧١١"}, "number of the store"),
        ({"store_id": ""}, "number of the store"),
        ({"store_id": "1" * 21}, "number of the store"),
        ({"store_id": True}, "valid string"),
        ({"base_url": "api.lemonsqueezy.com"}, "whole address"),
        ({"base_url": "http://proxy.example.com"}, "https"),
        ({"base_url": "https://user:pass@proxy.example.com"}, "whole address"),
        ({"base_url": "https://proxy.example.com/?a=b"}, "whole address"),
        ({"base_url": "https://proxy.example.com/#a"}, "whole address"),
        ({"base_url": "https://["}, "whole address"),
        ({"base_url": "ftp://proxy.example.com"}, "whole address"),
        ({"base_url": "https://a.example/" + "x" * 2048}, "whole address"),
        ({"base_url": 7}, "valid string"),
        ({"refund_days": -1}, "greater than or equal"),
        ({"refund_days": 401}, "less than or equal"),
        ({"refund_days": True}, "whole number"),
        ({"settling_minutes": 61}, "less than or equal"),
        ({"tolerance_seconds": 60}, "Extra inputs"),
    ],
)
def test_what_is_refused_and_why(changes, says):
    with pytest.raises(ValidationError, match=says):
        LemonSqueezyConfig.model_validate(changed(**changes))


def test_secrets_are_in_no_repr_and_in_no_mistake():
    config = LemonSqueezyConfig.model_validate(changed(api_key="key-123456", webhook_secrets=["secret-123456"]))
    assert "123456" not in repr(config)
    with pytest.raises(ValidationError) as caught:
        LemonSqueezyConfig.model_validate(changed(api_key="key 123456", webhook_secrets=["secret\n123456"]))
    assert "123456" not in str(caught.value)
