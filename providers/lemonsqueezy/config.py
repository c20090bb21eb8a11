"""What a connection to Lemon Squeezy is configured with."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator
from yarl import URL

API_ADDRESS = "https://api.lemonsqueezy.com"
"""Of both modes: the key decides (https://docs.lemonsqueezy.com/api/getting-started/requests)."""

MAX_ADDRESS = 2048
"""Characters; the limit of a checkout's URL in the gateway."""


def _stripped_secret(value: Any) -> Any:
    """Copying from a dashboard or a file brings line ends along; they are never part of a secret."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value.strip() if isinstance(value, str) else value


def _empty_is_absent(value: Any) -> Any:
    """`${LEMONSQUEEZY_BASE_URL:-}` means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _as_text(value: Any) -> Any:
    """YAML reads the number of a store as a number."""
    if type(value) is int:
        return str(value)
    return value.strip() if isinstance(value, str) else value


Secret = Annotated[SecretStr, BeforeValidator(_stripped_secret)]
Count = Annotated[int, BeforeValidator(_no_bool)]


class LemonSqueezyConfig(BaseModel):
    """
    Lemon Squeezy's part of a connection.

    `base_url` replaces the API's address (the stand-in, a proxy). `refund_days` is how far behind its beginning a sweep
    looks for orders that were refunded since: the API has no date filter. `settling_minutes` is how old a sale must be
    for a sweep to report it: the webhook has the visitor's ids, the API has not, so the webhook goes first.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: Annotated[str | None, BeforeValidator(_empty_is_absent)] = None
    api_key: Secret
    webhook_secrets: list[Secret] = Field(min_length=1)
    store_id: Annotated[str, BeforeValidator(_as_text)]
    refund_days: Count = Field(default=30, ge=0, le=400)
    settling_minutes: Count = Field(default=10, ge=0, le=60)

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
        if url.scheme != "https" and not _is_loopback(url):
            raise ValueError("must be https (http only on this machine): the API key travels to it")
        return str(url).rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if not key:
            raise ValueError("must not be empty: make an API key under Settings > API")
        if not _is_printable(key):
            raise ValueError("contains a space, a line end or a character that no API key has: copy it again")
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        for number, secret in enumerate(value, start=1):
            text = secret.get_secret_value()
            if not text:
                raise ValueError(f"number {number} is empty: it is the signing secret under Settings > Webhooks")
            if not text.isprintable():
                raise ValueError(f"number {number} contains a line end or a control character: copy it again")
        return value

    @field_validator("store_id")
    @classmethod
    def _check_store_id(cls, value: str) -> str:
        if not (value.isascii() and value.isdigit() and len(value) <= 20):
            raise ValueError("must be the number of the store (Settings > Stores, without #), not its name or address")
        return value


def _address(value: str) -> URL:
    try:
        url = URL(value.strip())
        usable = url.scheme in ("http", "https") and url.host and url.port and not url.user and not url.password
    except ValueError:
        usable = None
    if not usable or len(value) > MAX_ADDRESS or url.query_string or url.fragment:
        raise ValueError("must be a whole address such as https://api.lemonsqueezy.com, without user, ? and #")
    return url


def _is_loopback(url: URL) -> bool:
    host = url.host or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_printable(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)
