"""The plugin's part of a connection."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from gateway.sdk import checked


def _filled(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("must not be empty")
    return SecretStr(secret.get_secret_value().strip())


Secret = Annotated[SecretStr, AfterValidator(_filled)]


def _address(url: str) -> str:
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise ValueError("must be an https address")
    return checked(url, "base_url").rstrip("/")


class ExampleConfig(BaseModel):
    """Credentials of one account at the make-believe company."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    environment: Literal["sandbox", "live"]
    api_key: Secret
    webhook_secrets: Annotated[tuple[Secret, ...], Field(min_length=1)]
    base_url: Annotated[str, AfterValidator(_address)] = "https://api.example.com"
    tolerance_seconds: Annotated[int, Field(ge=1, le=3600)] = 300
