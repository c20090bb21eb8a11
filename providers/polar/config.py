"""What a connection to Polar is configured with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from gateway.sdk import (
    ApiAddress,
    SecretText,
    WebhookSecrets,
    WholeNumber,
    check_address_environment,
    plain_secret,
    webhook_secrets_of,
)

API_ADDRESSES = {"sandbox": "https://sandbox-api.polar.sh", "live": "https://api.polar.sh"}
"""https://polar.sh/docs/integrate/sandbox"""

WEBHOOK_SECRET_PREFIXES = ("whsec_", "polar_whs_")
"""Of generated webhook secrets, now and before 2026 (server/polar/webhook/constants.py of polarsource/polar)."""

TOKEN_PREFIXES = ("polar_oat_", "polar_pat_")
"""Of access tokens; the same in both environments, so a token does not tell where it belongs."""


class PolarConfig(BaseModel):
    """
    Polar's part of a connection.

    `base_url` replaces the API address of the environment (the stand-in, a proxy). `tolerance_seconds` is how far the
    time of a signature may be from the time of arrival, both ways.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: ApiAddress = None
    access_token: SecretText
    webhook_secrets: WebhookSecrets
    tolerance_seconds: WholeNumber = Field(default=300, ge=1, le=3600)

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

    @field_validator("access_token")
    @classmethod
    def _check_access_token(cls, value: SecretStr) -> SecretStr:
        token = plain_secret(value, "make an organization access token in Polar's settings")
        if token.startswith(WEBHOOK_SECRET_PREFIXES):
            raise ValueError("is a webhook secret: it belongs into webhook_secrets; tokens begin with polar_oat_")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        texts = webhook_secrets_of(value, "copy the secret of the webhook endpoint")
        for number, text in enumerate(texts, start=1):
            if text.startswith(TOKEN_PREFIXES):
                raise ValueError(f"number {number} is an access token: it belongs into access_token")
        return value
