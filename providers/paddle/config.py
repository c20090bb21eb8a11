"""What a connection to Paddle is configured with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from gateway.sdk import (
    ApiAddress,
    OptionalText,
    SecretText,
    WebhookSecrets,
    WholeNumber,
    check_address_environment,
    check_key_environment,
    plain_secret,
    web_address,
    webhook_secrets_of,
)

API_ADDRESSES = {"sandbox": "https://sandbox-api.paddle.com", "live": "https://api.paddle.com"}
"""https://developer.paddle.com/api-reference/about/authentication"""

KEY_PREFIXES = {"sandbox": ("pdl_sdbx_apikey_",), "live": ("pdl_live_apikey_",)}
"""Of keys made since May 2025; older ones have none (https://developer.paddle.com/changelog/2025/api-key-improvements)."""


class PaddleConfig(BaseModel):
    """
    Paddle's part of a connection.

    `base_url` replaces the API address of the environment (the stand-in, a proxy). `tolerance_seconds` is how far the
    time of a signature may be from the time of arrival, both ways. `payment_page` is an approved https page with
    Paddle.js, sent as `checkout.url`; without it Paddle uses the account's default payment link.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: ApiAddress = None
    api_key: SecretText
    webhook_secrets: WebhookSecrets
    tolerance_seconds: WholeNumber = Field(default=60, ge=1, le=3600)
    payment_page: OptionalText = None

    @property
    def api_address(self) -> str:
        """The API's address without a slash at the end."""
        return self.base_url or API_ADDRESSES[self.environment]

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "environment" in info.data:
            check_address_environment(value, info.data["environment"], API_ADDRESSES)
        return value

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = plain_secret(value, "make an API key under Developer tools > Authentication")
        if info.data.get("base_url", "unusable") is None and "environment" in info.data:
            check_key_environment(key, info.data["environment"], KEY_PREFIXES)
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        webhook_secrets_of(value, "copy the secret key of the notification destination")
        return value

    @field_validator("payment_page")
    @classmethod
    def _check_payment_page(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = web_address(value)
        if url.scheme != "https" or url.fragment:
            raise ValueError("must be the https address of an approved page that loads Paddle.js, without #")
        return str(url)
