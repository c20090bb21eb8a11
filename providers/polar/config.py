"""What a connection to Polar is configured with."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

API_ADDRESSES = {"sandbox": "https://sandbox-api.polar.sh", "live": "https://api.polar.sh"}
"""https://polar.sh/docs/integrate/sandbox"""

WEBHOOK_SECRET_PREFIXES = ("whsec_", "polar_whs_")
"""Of generated webhook secrets, now and before 2026 (server/polar/webhook/constants.py of polarsource/polar)."""

TOKEN_PREFIXES = ("polar_oat_", "polar_pat_")
"""Of access tokens; the same in both environments, so a token does not tell where it belongs."""

MAX_ADDRESS = 2048
"""Characters; the limit of a checkout's URL in the gateway."""


def _stripped_secret(value: Any) -> Any:
    """Copying from a dashboard or a file brings line ends along; they are never part of a secret."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value.strip() if isinstance(value, str) else value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number of seconds")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _empty_is_absent(value: Any) -> Any:
    """`${POLAR_BASE_URL:-}` means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


Secret = Annotated[SecretStr, BeforeValidator(_stripped_secret)]


class PolarConfig(BaseModel):
    """
    Polar's part of a connection.

    `base_url` replaces the API address of the environment (the stand-in, a proxy). `tolerance_seconds` is how far the
    time of a signature may be from the time of arrival, both ways.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: Annotated[str | None, BeforeValidator(_empty_is_absent)] = None
    access_token: Secret
    webhook_secrets: list[Secret] = Field(min_length=1)
    tolerance_seconds: Annotated[int, BeforeValidator(_no_bool)] = Field(default=300, ge=1, le=3600)

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
        if url.scheme != "https" and not _is_loopback(url):
            raise ValueError("must be https (http only on this machine): the access token travels to it")
        for environment, address in API_ADDRESSES.items():
            if url.host == URL(address).host and info.data.get("environment", environment) != environment:
                raise ValueError(
                    f"is Polar's {environment} API: set environment to {environment} or leave base_url out"
                )
        return str(url).rstrip("/")

    @field_validator("access_token")
    @classmethod
    def _check_access_token(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        if not token:
            raise ValueError("must not be empty: make an organization access token in Polar's settings")
        if not _is_printable(token):
            raise ValueError("contains a space, a line end or a character that no token has: copy it again")
        if token.startswith(WEBHOOK_SECRET_PREFIXES):
            raise ValueError("is a webhook secret: it belongs into webhook_secrets; tokens begin with polar_oat_")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        for number, secret in enumerate(value, start=1):
            text = secret.get_secret_value()
            if not text:
                raise ValueError(f"number {number} is empty: copy the secret of the webhook endpoint")
            if not _is_printable(text):
                raise ValueError(f"number {number} contains a space or a character that no secret has: copy it again")
            if text.startswith(TOKEN_PREFIXES):
                raise ValueError(f"number {number} is an access token: it belongs into access_token")
        return value


def _address(value: str) -> URL:
    try:
        url = URL(value.strip())
        usable = url.scheme in ("http", "https") and url.host and url.port and not url.user and not url.password
    except ValueError:
        usable = None
    if not usable or len(value) > MAX_ADDRESS or url.query_string or url.fragment:
        raise ValueError("must be a whole address such as https://api.polar.sh, without user, password, ? and #")
    return url


def _is_loopback(url: URL) -> bool:
    host = url.host or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_printable(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)
