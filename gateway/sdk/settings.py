"""
Parts of a plugin's configuration: pydantic types and checks for what every payment company has.

    class Config(BaseModel):
        environment: Literal["sandbox", "live"]
        base_url: ApiAddress = None
        api_key: SecretText
        webhook_secrets: WebhookSecrets
        tolerance_seconds: WholeNumber = Field(default=300, ge=1, le=3600)

The checks raise `ValueError`, which pydantic reports at the key; no message repeats a value that may be secret.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from yarl import URL

MAX_ADDRESS = 2048
"""Characters; the limit of a checkout's URL in the gateway."""


def stripped(value: Any) -> Any:
    """Return text without the line ends that copying from a dashboard or a file brings along; the rest as it is."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return value.strip() if isinstance(value, str) else value


def web_address(text: str) -> URL:
    """Return a whole http or https address; raise `ValueError` for anything else and for one with a password."""
    try:
        url = URL(text.strip())
        usable = url.scheme in ("http", "https") and url.host and url.port and not url.user and not url.password
    except ValueError:
        usable = None
    if not usable or len(text) > MAX_ADDRESS:
        raise ValueError("must be a whole address such as https://www.example.com/path, without user or password")
    return url


def is_web_address(value: object) -> bool:
    """Say whether a value of a provider's answer is an address that a browser can be sent to."""
    try:
        return isinstance(value, str) and URL(value).scheme in ("http", "https") and bool(URL(value).host)
    except ValueError:
        return False


def is_plain(text: str) -> bool:
    """Say whether text is printable ASCII without spaces, as keys, tokens and generated secrets are."""
    return all("!" <= char <= "~" for char in text)


def plain_secret(value: SecretStr, where: str) -> str:
    """Return the text of a key or token; raise `ValueError` if it is not plain or empty (`where`: how to get one)."""
    text = value.get_secret_value()
    if not text:
        raise ValueError(f"must not be empty: {where}")
    if not is_plain(text):
        raise ValueError("contains a space, a line end or a character that no key has: copy it again")
    return text


def webhook_secrets_of(values: Sequence[SecretStr], where: str, *, typed: bool = False) -> Sequence[str]:
    """
    Return the texts of webhook secrets; raise `ValueError` with the number of one that is empty or unusable.

    `where` says how to get one. `typed` is for companies where people make their secrets up: blanks and letters of any
    alphabet are right there.
    """
    texts = [value.get_secret_value() for value in values]
    for number, text in enumerate(texts, start=1):
        if not text:
            raise ValueError(f"number {number} is empty: {where}")
        if typed and not text.isprintable():
            raise ValueError(f"number {number} contains a line end or a control character: copy it again")
        if not typed and not is_plain(text):
            raise ValueError(f"number {number} contains a space or a character that no secret has: copy it again")
    return texts


def check_key_environment(key: str, environment: str, prefixes: Mapping[str, Sequence[str]]) -> None:
    """Raise `ValueError` if the key begins with a prefix of another environment."""
    for other, marks in prefixes.items():
        for mark in marks:
            if key.startswith(mark) and other != environment:
                raise ValueError(f"is a {other} key ({mark}...), but environment is {environment}: use that one's key")


def check_address_environment(address: str, environment: str, addresses: Mapping[str, str]) -> None:
    """Raise `ValueError` if the address is the API of another environment."""
    for other, api in addresses.items():
        if URL(address).host == URL(api).host and other != environment:
            raise ValueError(f"is the {other} API: set environment to {other} or leave base_url out")


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic collects ValueErrors only
    return value


def _empty_is_absent(value: Any) -> Any:
    """`${PADDLE_BASE_URL:-}` means: not set."""
    return None if isinstance(value, str) and not value.strip() else value


def _api_address(value: str | None) -> str | None:
    if value is None:
        return None
    url = web_address(value)
    if url.query_string or url.fragment:
        raise ValueError("must be a whole address without ? and #, such as https://proxy.example.com/api")
    if url.scheme != "https" and not _is_loopback(url):
        raise ValueError("must be https (http only on this machine): the API key travels to it")
    return str(url).rstrip("/")


def _is_loopback(url: URL) -> bool:
    host = url.host or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


SecretText = Annotated[SecretStr, BeforeValidator(stripped)]
"""A key, token or secret: stripped. Look at it with `plain_secret`."""

WebhookSecrets = Annotated[list[SecretText], Field(min_length=1)]
"""One secret or, while one is rotated, several. Look at them with `webhook_secrets_of`."""

WholeNumber = Annotated[int, BeforeValidator(_no_bool)]
"""A number that is not `yes` or `no`."""

OptionalText = Annotated[str | None, BeforeValidator(_empty_is_absent)]
"""Text; an empty variable of the environment means that it is not set."""

ApiAddress = Annotated[str | None, BeforeValidator(_empty_is_absent), AfterValidator(_api_address)]
"""An https address, or http to this machine, without a slash at the end; empty means not set."""
