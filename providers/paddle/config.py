"""What a connection to Paddle is configured with."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

API_ADDRESSES = {"sandbox": "https://sandbox-api.paddle.com", "live": "https://api.paddle.com"}
"""https://developer.paddle.com/api-reference/about/authentication"""

KEY_PREFIXES = {"sandbox": "pdl_sdbx_apikey_", "live": "pdl_live_apikey_"}
"""Of keys made since May 2025; older ones have none (https://developer.paddle.com/changelog/2025/api-key-improvements)."""

MAX_ADDRESS = 2048
"""Characters; the limit of a checkout's URL in the gateway."""


def _stripped_secret(value: Any) -> Any:
    """Copying from a dashboard or a file brings line ends along; they are never part of a Paddle secret."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value.strip() if isinstance(value, str) else value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number of seconds")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _empty_is_absent(value: Any) -> Any:
    """`${PADDLE_BASE_URL:-}` means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


Secret = Annotated[SecretStr, BeforeValidator(_stripped_secret)]
Address = Annotated[str | None, BeforeValidator(_empty_is_absent)]


class PaddleConfig(BaseModel):
    """
    Paddle's part of a connection.

    `base_url` replaces the API address of the environment (the stand-in, a proxy). `tolerance_seconds` is how far the
    time of a signature may be from the time of arrival, both ways. `payment_page` is an approved https page with
    Paddle.js, sent as `checkout.url`; without it Paddle uses the account's default payment link.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: Address = None
    api_key: Secret
    webhook_secrets: list[Secret] = Field(min_length=1)
    tolerance_seconds: Annotated[int, BeforeValidator(_no_bool)] = Field(default=60, ge=1, le=3600)
    payment_page: Address = None

    @property
    def api_address(self) -> str:
        """The API's address without a slash at the end."""
        return self.base_url or API_ADDRESSES[self.environment]

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        url = _address(value)
        if url.query_string or url.fragment:
            raise ValueError("must be an address without ? and #, such as https://api.paddle.com")
        if url.scheme != "https" and not _is_loopback(url):
            raise ValueError("must be https (http only on this machine): the API key travels to it")
        for environment, address in API_ADDRESSES.items():
            if url.host == URL(address).host and info.data.get("environment", environment) != environment:
                raise ValueError(
                    f"is Paddle's {environment} API: set environment to {environment} or leave base_url out"
                )
        return str(url).rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        if not key:
            raise ValueError("must not be empty: make an API key under Developer tools > Authentication")
        if not all("!" <= char <= "~" for char in key):
            raise ValueError("contains a space, a line end or a character that no API key has: copy it again")
        if info.data.get("base_url", "unusable") is None and "environment" in info.data:
            _check_environment_of(key, info.data["environment"])
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        for number, secret in enumerate(value, start=1):
            text = secret.get_secret_value()
            if not text:
                raise ValueError(f"number {number} is empty: copy the secret key of the notification destination")
            if not all("!" <= char <= "~" for char in text):
                raise ValueError(
                    f"number {number} contains a space or a character that no secret key has: copy it again"
                )
        return value

    @field_validator("payment_page")
    @classmethod
    def _check_payment_page(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = _address(value)
        if url.scheme != "https" or url.fragment:
            raise ValueError("must be the https address of an approved page that loads Paddle.js, without #")
        return str(url)


def _address(value: str) -> URL:
    try:
        url = URL(value.strip())
        usable = url.scheme in ("http", "https") and url.host and url.port and not url.user and not url.password
    except ValueError:
        usable = None
    if not usable or len(value) > MAX_ADDRESS:
        raise ValueError("must be a whole address such as https://shop.example.com/pay, without user or password")
    return url


def _is_loopback(url: URL) -> bool:
    host = url.host or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _check_environment_of(key: str, environment: str) -> None:
    for other, prefix in KEY_PREFIXES.items():
        if key.startswith(prefix) and other != environment:
            raise ValueError(f"is a {other} key ({prefix}...), but environment is {environment}: use that one's key")
