"""What a connection to Stripe is configured with, and what a plan may choose."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from gateway.sdk import (
    ApiAddress,
    SecretText,
    WebhookSecrets,
    WholeNumber,
    check_key_environment,
    plain_secret,
    webhook_secrets_of,
)

API_ADDRESS = "https://api.stripe.com"
"""The same for both environments: the key decides (https://docs.stripe.com/api/authentication)."""

KEY_PREFIXES = {"sandbox": ("sk_test_", "rk_test_"), "live": ("sk_live_", "rk_live_")}
"""https://docs.stripe.com/keys#obtain-api-keys: secret and restricted keys."""

NO_SECRET_KEY = ("pk_", "whsec_")
"""What else is copied from the dashboard by mistake: publishable keys and signing secrets."""

NO_SIGNING_SECRET = ("sk_", "rk_", "pk_", "we_")
"""The same the other way round; `we_...` is the id of the endpoint beside its secret."""


class StripeConfig(BaseModel):
    """
    Stripe's part of a connection.

    `base_url` replaces the address of the API (the stand-in, a proxy). `tolerance_seconds` is how far the time of a
    signature may be from the time of arrival, both ways.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: ApiAddress = None
    api_key: SecretText
    webhook_secrets: WebhookSecrets
    tolerance_seconds: WholeNumber = Field(default=300, ge=1, le=3600)

    @property
    def api_address(self) -> str:
        """The API's address without a slash at the end."""
        return self.base_url or API_ADDRESS

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = plain_secret(value, "make a restricted key under Developers > API keys")
        for prefix in NO_SECRET_KEY:
            if key.startswith(prefix):
                raise ValueError(f"begins with {prefix}: this is no secret key (sk_...) or restricted key (rk_...)")
        if "environment" in info.data:
            check_key_environment(key, info.data["environment"], KEY_PREFIXES)
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        texts = webhook_secrets_of(value, "copy the signing secret (whsec_...) of the endpoint")
        for number, text in enumerate(texts, start=1):
            for prefix in NO_SIGNING_SECRET:
                if text.startswith(prefix):
                    raise ValueError(f"number {number} begins with {prefix}: the signing secret begins with whsec_")
        return value


class StripeOptions(BaseModel):
    """
    What a plan may choose.

    Without `mode` the plan's prices are asked whether they recur. `product_name` is what the buyer sees where the plan
    has an amount instead of items.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Literal["payment", "subscription"] | None = None
    allow_promotion_codes: bool = False
    automatic_tax: bool = False
    trial_days: WholeNumber | None = Field(default=None, ge=1, le=730)
    product_name: str = Field(default="Order", min_length=1, max_length=250)
