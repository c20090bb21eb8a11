"""What a connection to Razorpay is configured with, and what a plan may choose."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

API_ADDRESS = "https://api.razorpay.com"
"""The same for both environments: the key decides (https://razorpay.com/docs/api/authentication)."""

KEY_PREFIXES = {"sandbox": "rzp_test_", "live": "rzp_live_"}
"""https://razorpay.com/docs/payments/dashboard/account-settings/api-keys; partners' keys have other ones."""

MAX_ADDRESS = 2048
"""Characters; the limit of a checkout's URL in the gateway."""


def _stripped(value: Any) -> Any:
    """Copying from a dashboard or a file brings line ends along."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value.strip() if isinstance(value, str) else value


def _empty_is_absent(value: Any) -> Any:
    """`${RAZORPAY_BASE_URL:-}` means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


Secret = Annotated[SecretStr, BeforeValidator(_stripped)]
Address = Annotated[str | None, BeforeValidator(_empty_is_absent)]


class RazorpayConfig(BaseModel):
    """
    Razorpay's part of a connection.

    `base_url` replaces the address of the API (the stand-in, a proxy). `list_disputes` is for accounts whose key may
    not read `GET /v1/disputes`: without it a sweep finds no lost disputes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: Address = None
    key_id: Annotated[str, BeforeValidator(_stripped)]
    key_secret: Secret
    webhook_secrets: list[Secret] = Field(min_length=1)
    list_disputes: bool = True

    @property
    def api_address(self) -> str:
        """The API's address without a slash at the end."""
        return self.base_url or API_ADDRESS

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = _address(value)
        if url.query_string or url.fragment:
            raise ValueError(f"must be an address without ? and #, such as {API_ADDRESS}")
        if url.scheme != "https" and not _is_loopback(url):
            raise ValueError("must be https (http only on this machine): the API key travels to it")
        return str(url).rstrip("/")

    @field_validator("key_id")
    @classmethod
    def _check_key_id(cls, value: str, info: ValidationInfo) -> str:
        if not value or ":" in value or not _is_plain(value):
            raise ValueError("must be the key id alone, rzp_test_... or rzp_live_...: copy it again")
        for environment, prefix in KEY_PREFIXES.items():
            if value.startswith(prefix) and info.data.get("environment", environment) != environment:
                raise ValueError(f"is a key of {prefix.strip('_')}: set environment to {environment} or use the other")
        return value

    @field_validator("key_secret")
    @classmethod
    def _check_key_secret(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if not secret or not _is_plain(secret):
            raise ValueError("is empty or holds a space or a character that no key secret has: copy it again")
        if secret.startswith(tuple(KEY_PREFIXES.values())):
            raise ValueError("is a key id (rzp_...): the key secret is shown once, when the key is made")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        for number, secret in enumerate(value, start=1):
            text = secret.get_secret_value()
            if not text or not text.isprintable():
                raise ValueError(f"number {number} is empty or no single line: give what you typed into the dashboard")
        return value


class RazorpayOptions(BaseModel):
    """What a plan may choose: `description` is what the buyer reads above the amount."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str | None = Field(default=None, min_length=1, max_length=2048)


def _address(value: str) -> URL:
    try:
        url = URL(value.strip())
        usable = url.scheme in ("http", "https") and url.host and url.port and not url.user and not url.password
    except ValueError:
        usable = None
    if not usable or len(value) > MAX_ADDRESS:
        raise ValueError(f"must be a whole address such as {API_ADDRESS}, without user or password")
    return url


def _is_loopback(url: URL) -> bool:
    host = url.host or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)
