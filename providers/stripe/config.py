"""What a connection to Stripe is configured with, and what a plan may choose."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from yarl import URL

API_ADDRESS = "https://api.stripe.com"
"""The same for both environments: the key decides (https://docs.stripe.com/api/authentication)."""

KEY_PREFIXES = {"sandbox": ("sk_test_", "rk_test_"), "live": ("sk_live_", "rk_live_")}
"""https://docs.stripe.com/keys#obtain-api-keys: secret and restricted keys."""

NO_SECRET_KEY = ("pk_", "whsec_")
"""What else is copied from the dashboard by mistake: publishable keys and signing secrets."""

NO_SIGNING_SECRET = ("sk_", "rk_", "pk_", "we_")
"""The same the other way round; `we_...` is the id of the endpoint beside its secret."""

MAX_ADDRESS = 2048
"""Characters; the limit of a checkout's URL in the gateway."""


def _stripped_secret(value: Any) -> Any:
    """Copying from a dashboard or a file brings line ends along; they are never part of a Stripe secret."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value.strip() if isinstance(value, str) else value


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _empty_is_absent(value: Any) -> Any:
    """`${STRIPE_BASE_URL:-}` means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


Secret = Annotated[SecretStr, BeforeValidator(_stripped_secret)]
Address = Annotated[str | None, BeforeValidator(_empty_is_absent)]
Whole = Annotated[int, BeforeValidator(_no_bool)]


class StripeConfig(BaseModel):
    """
    Stripe's part of a connection.

    `base_url` replaces the address of the API (the stand-in, a proxy). `tolerance_seconds` is how far the time of a
    signature may be from the time of arrival, both ways.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    base_url: Address = None
    api_key: Secret
    webhook_secrets: list[Secret] = Field(min_length=1)
    tolerance_seconds: Whole = Field(default=300, ge=1, le=3600)

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

    @field_validator("api_key")
    @classmethod
    def _check_api_key(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        key = value.get_secret_value()
        if not key:
            raise ValueError("must not be empty: make a restricted key under Developers > API keys")
        if not _is_plain(key):
            raise ValueError("contains a space, a line end or a character that no API key has: copy it again")
        for prefix in NO_SECRET_KEY:
            if key.startswith(prefix):
                raise ValueError(f"begins with {prefix}: this is no secret key (sk_...) or restricted key (rk_...)")
        if "environment" in info.data:
            _check_environment_of(key, info.data["environment"])
        return value

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        for number, secret in enumerate(value, start=1):
            text = secret.get_secret_value()
            if not text:
                raise ValueError(f"number {number} is empty: copy the signing secret (whsec_...) of the endpoint")
            if not _is_plain(text):
                raise ValueError(f"number {number} contains a space or a character that no secret has: copy it again")
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
    trial_days: Whole | None = Field(default=None, ge=1, le=730)
    product_name: str = Field(default="Order", min_length=1, max_length=250)


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


def _check_environment_of(key: str, environment: str) -> None:
    for other, prefixes in KEY_PREFIXES.items():
        for prefix in prefixes:
            if key.startswith(prefix) and other != environment:
                raise ValueError(
                    f"is a {other} key ({prefix}...), but environment is {environment}: use that one's key"
                )
