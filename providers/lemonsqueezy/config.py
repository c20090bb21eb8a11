"""What a connection to Lemon Squeezy is configured with."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from gateway.sdk import ApiAddress, SecretText, WebhookSecrets, WholeNumber, plain_secret, stripped, webhook_secrets_of

API_ADDRESS = "https://api.lemonsqueezy.com"
"""Of both modes: the key decides (https://docs.lemonsqueezy.com/api/getting-started/requests)."""


def _as_text(value: Any) -> Any:
    """YAML reads the number of a store as a number."""
    return str(value) if type(value) is int else stripped(value)


class LemonSqueezyConfig(BaseModel):
    """
    Lemon Squeezy's part of a connection.

    `base_url` replaces the API's address (the stand-in, a proxy). `refund_days` is how far behind its beginning a sweep
    looks for orders that were refunded since: the API has no date filter. `settling_minutes` is how old a sale must be
    for a sweep to report it: the webhook has the visitor's ids, the API has not, so the webhook goes first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: ApiAddress = None
    api_key: SecretText
    webhook_secrets: WebhookSecrets
    store_id: Annotated[str, BeforeValidator(_as_text)]
    refund_days: WholeNumber = Field(default=30, ge=0, le=400)
    settling_minutes: WholeNumber = Field(default=10, ge=0, le=60)

    @property
    def api_address(self) -> str:
        """The API's address without a slash at the end."""
        return self.base_url or API_ADDRESS

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr) -> SecretStr:
        plain_secret(value, "make an API key under Settings > API")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        webhook_secrets_of(value, "it is the signing secret under Settings > Webhooks", typed=True)
        return value

    @field_validator("store_id")
    @classmethod
    def _check_store_id(cls, value: str) -> str:
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            raise ValueError("must be the number of the store (Settings > Stores, without #), not its name or address")
        return value
