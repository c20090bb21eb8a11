"""What a connection to Razorpay is configured with, and what a plan may choose."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from gateway.sdk import (
    ApiAddress,
    SecretText,
    WebhookSecrets,
    check_key_environment,
    is_plain,
    plain_secret,
    stripped,
    webhook_secrets_of,
)

API_ADDRESS = "https://api.razorpay.com"
"""The same for both environments: the key decides (https://razorpay.com/docs/api/authentication)."""

KEY_PREFIXES = {"sandbox": ("rzp_test_",), "live": ("rzp_live_",)}
"""https://razorpay.com/docs/payments/dashboard/account-settings/api-keys; partners' keys have other ones."""


class RazorpayConfig(BaseModel):
    """
    Razorpay's part of a connection.

    `base_url` replaces the address of the API (the stand-in, a proxy). `list_disputes` is for accounts whose key may
    not read `GET /v1/disputes`: without it a sweep finds no lost disputes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: ApiAddress = None
    key_id: Annotated[str, BeforeValidator(stripped)]
    key_secret: SecretText
    webhook_secrets: WebhookSecrets
    list_disputes: bool = True

    @property
    def api_address(self) -> str:
        """The API's address without a slash at the end."""
        return self.base_url or API_ADDRESS

    @field_validator("key_id")
    @classmethod
    def _check_key_id(cls, value: str, info: ValidationInfo) -> str:
        if not value or ":" in value or not is_plain(value):
            raise ValueError("must be the key id alone, rzp_test_... or rzp_live_...: copy it again")
        if "environment" in info.data:
            check_key_environment(value, info.data["environment"], KEY_PREFIXES)
        return value

    @field_validator("key_secret")
    @classmethod
    def _check_key_secret(cls, value: SecretStr) -> SecretStr:
        secret = plain_secret(value, "it is shown once, when the key is made; make a new key if it is lost")
        if any(secret.startswith(prefixes) for prefixes in KEY_PREFIXES.values()):
            raise ValueError("is a key id (rzp_...): the key secret is shown once, when the key is made")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        webhook_secrets_of(value, "give what you typed into the dashboard", typed=True)
        return value


class RazorpayOptions(BaseModel):
    """What a plan may choose: `description` is what the buyer reads above the amount."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str | None = Field(default=None, min_length=1, max_length=2048)
