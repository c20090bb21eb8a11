"""A small configuration, make-believe plugins, and ways to load text."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretBytes, SecretStr, field_validator, model_validator

from gateway.config import Config, ConfigError, PluginUnknown, load

ENVIRON = {"WRITE_KEY": "faurya-write-key-1", "API_KEY": "provider-api-key-1", "WEBHOOK_SECRET": "webhook-secret-1"}

GOOD = """\
server:
  public_url: https://pay.example.com
database:
  url: embedded
sites:
  acme:
    origins: [https://www.acme.example]
    faurya:
      api: revenue
      url: https://faurya.example
      site_id: site_1
      write_key: ${WRITE_KEY}
    providers:
      paddle:
        environment: sandbox
        api_key: ${API_KEY}
        webhook_secrets:
          - ${WEBHOOK_SECRET}
    plans:
      pro:
        provider: paddle
        items:
          - price_id: pri_1
"""


class PaddleLike(BaseModel):
    """Strict, with secrets in a field and in a list; a check that quotes what it was given."""

    model_config = ConfigDict(extra="forbid")

    environment: Literal["sandbox", "live"]
    api_key: SecretStr = Field(description="an API key from the dashboard")
    webhook_secrets: tuple[SecretStr, ...] = Field(min_length=1)
    tolerance_seconds: int = Field(default=60, ge=1, le=3600)

    @field_validator("api_key", mode="before")
    @classmethod
    def _quotes_the_key(cls, value: object) -> object:
        if "wrong" in str(value):
            raise ValueError(f"the key {value!r}\nis not known")
        return value

    @model_validator(mode="after")
    def _key_fits(self) -> "PaddleLike":
        if self.environment == "live" and "sandbox" in self.api_key.get_secret_value():
            raise ValueError("environment is live, but this is a sandbox key")
        return self


class PaddleOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    theme: Literal["light", "dark"] = "light"


class Nested(BaseModel):
    token: SecretStr


class Loose(BaseModel):
    """A model whose author forgot `extra`; with an alias, nested secrets, and no environment."""

    secret_bytes: SecretBytes | None = None
    by_alias: SecretStr | None = Field(default=None, validation_alias="callbackKey")
    accounts: list[Nested] = []
    by_name: dict[str, SecretStr] = {}


class Open(BaseModel):
    """A model that takes any key."""

    model_config = ConfigDict(extra="allow")


class Crashing(BaseModel):
    key: SecretStr

    @model_validator(mode="before")
    @classmethod
    def _crash(cls, value: dict[str, str]) -> object:
        raise KeyError(value["key"])


class Demanding(BaseModel):
    color: str


class Models:
    """The models of a few make-believe plugins."""

    configs: Mapping[str, type[BaseModel]] = {
        "paddle": PaddleLike,
        "paddle-two": PaddleLike,
        "loose": Loose,
        "open": Open,
        "crashing": Crashing,
        "demanding": Loose,
    }
    options: Mapping[str, type[BaseModel]] = {"paddle": PaddleOptions, "demanding": Demanding}

    def config_model(self, plugin: str) -> type[BaseModel]:
        if plugin not in self.configs:
            raise PluginUnknown("no such plugin is installed: pip install it")
        return self.configs[plugin]

    def checkout_options(self, plugin: str) -> type[BaseModel] | None:
        return self.options.get(plugin)


NO_FILES: Mapping[str, str] = {}

Write = Callable[..., Path]
Load = Callable[..., Config]
Lines = Callable[..., list[str]]


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes = GOOD, files: Mapping[str, str] = NO_FILES) -> Path:
        """Write config.yaml and other files, and return the path of the first."""
        for name, content in {"config.yaml": text, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return tmp_path / "config.yaml"

    return write


@pytest.fixture
def loaded(write: Write, models: Models) -> Load:
    def loaded(
        text: str | bytes = GOOD, files: Mapping[str, str] = NO_FILES, environ: Mapping[str, str] = ENVIRON
    ) -> Config:
        return load(write(text, files), models, environ)

    return loaded


@pytest.fixture
def lines(loaded: Load, tmp_path: Path) -> Lines:
    def lines(
        text: str | bytes = GOOD, files: Mapping[str, str] = NO_FILES, environ: Mapping[str, str] = ENVIRON
    ) -> list[str]:
        """Load, and return the mistakes as they are shown, less the folder."""
        try:
            loaded(text, files, environ)
        except ConfigError as error:
            return str(error).replace(f"{tmp_path}/", "").splitlines()
        return []

    return lines


@pytest.fixture
def changed(lines: Lines) -> Lines:
    def changed(old: str, new: str) -> list[str]:
        """Return the mistakes of the good configuration with one piece of text replaced."""
        assert GOOD.count(old) == 1
        return lines(GOOD.replace(old, new))

    return changed


@pytest.fixture
def good() -> str:
    return GOOD
