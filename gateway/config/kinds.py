"""
The kinds of value in a configuration, as pydantic annotations.

Every message is built without the value, which may be a secret in the wrong place. A parser accepts its own result, so
that a model can also be built in Python from parsed values. All raise `ValueError`.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, WithJsonSchema

from gateway.config import addresses
from gateway.config.durations import PATTERN as DURATION_PATTERN
from gateway.config.durations import parse_duration
from gateway.domain.errors import Malformed
from gateway.domain.money import exponent

ANY = "any"
EMBEDDED = "embedded"

_PRICE = re.compile(r"[0-9]{1,11}(\.[0-9]{1,4})?")
_PORT = re.compile(r":[^\]:]*$")
_POSTGRES = re.compile(r"postgres(ql)?://[^\s\x00-\x1f]+")


def parse_currency(value: object) -> str:
    """Return an ISO 4217 code that has a minor unit."""
    try:
        if isinstance(value, str):
            exponent(value)
            return value
    except Malformed:
        pass
    raise ValueError("must be an ISO 4217 code in capital letters, such as USD")


def parse_price(value: str) -> str:
    """Return a decimal number as it was written."""
    if not _PRICE.fullmatch(value):
        raise ValueError('must be a decimal number such as "49.00"')
    return value


def parse_currencies(value: object) -> tuple[str, ...] | None:
    """Return the accepted ISO 4217 codes, or None for the word `any`."""
    if value is None or value == ANY:
        return None
    codes = [value] if isinstance(value, str) else value
    if not isinstance(codes, Sequence) or not codes or ANY in codes:
        raise ValueError("must be a list of ISO 4217 codes such as [USD], or the word any alone")
    checked = tuple(parse_currency(code) for code in codes)
    if len(set(checked)) < len(checked):
        raise ValueError("must list each currency once")
    return checked


def parse_one_currency(value: object) -> tuple[str, ...] | None:
    """Return the one accepted currency, or None for `any`."""
    codes = parse_currencies(value)
    if codes is not None and len(codes) > 1:
        raise ValueError("must be one currency, or the word any: the payments API adds up numbers without currency")
    return codes


def parse_claims(value: object) -> str | tuple[str, ...]:
    """Return `all`, `own_checkouts`, or the price and product ids whose sales are this site's."""
    if value in ("all", "own_checkouts"):
        return str(value)
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError("must be all, own_checkouts, or a list of price and product ids")
    if not all(isinstance(item, str) and 0 < len(item) <= 255 for item in value):
        raise ValueError("must list price and product ids as text of 1 to 255 characters")
    if "all" in value or "own_checkouts" in value:
        raise ValueError("must be one of the words all and own_checkouts, or a list of ids, not both")
    if len(set(value)) < len(value):
        raise ValueError("must list each id once")
    return tuple(value)


def parse_header_text(value: str) -> str:
    """Strip the whitespace that comes with copying, and refuse what an HTTP header cannot carry."""
    text = value.strip()
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("must be printable ASCII text on one line: it is sent as an HTTP header")
    return text


def parse_header_secret(value: SecretStr) -> SecretStr:
    """Like `parse_header_text`, for what may not be shown."""
    return SecretStr(parse_header_text(value.get_secret_value()))


def parse_database_url(value: object) -> SecretStr:
    """Return a Postgres URL or the word `embedded`, hidden because the URL holds a password."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str) or not (text == EMBEDDED or _POSTGRES.fullmatch(text)):
        raise ValueError("must be postgresql://user:password@host/database, or the word embedded")
    if not _is_readable(text):
        raise ValueError(
            "is not readable as an address: percent-encode / @ : # ? [ ] in the password, and check the port"
        )
    return SecretStr(text)


def _is_readable(url: str) -> bool:
    """Say whether host and port can be told apart; the library's own error would quote what may be the password."""
    try:
        parts = urlsplit(url)
        ports = [host.rpartition(":")[2] for host in parts.netloc.rpartition("@")[2].split(",") if _PORT.search(host)]
    except ValueError:
        return False
    return all(port.isdigit() and 0 < int(port) < 65536 for port in ports)


def _not_a_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic turns only ValueError into a mistake
    return value


SHORTEST_LEASE = timedelta(seconds=15)
"""A call of Faurya may take 10 seconds, and none starts with less lease left than that."""


def _long_enough(value: timedelta) -> timedelta:
    if value < SHORTEST_LEASE:
        raise ValueError("must be at least 15s: one call of Faurya may take 10s, and must end before its lease does")
    return value


def _above_zero(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return value


_DURATION = WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN})
_WEB = WithJsonSchema({"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://"})
_WORD = {"type": "string", "minLength": 1}
_CODE = {"type": "string", "pattern": "^[A-Z]{3}$"}
_CODE_OR_ANY = {"anyOf": [{"const": ANY}, _CODE]}

Whole: TypeAlias = Annotated[int, BeforeValidator(_not_a_bool)]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535), BeforeValidator(_not_a_bool)]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]
HeaderText: TypeAlias = Annotated[str, Field(max_length=4096), AfterValidator(parse_header_text)]
HeaderSecret: TypeAlias = Annotated[SecretStr, Field(max_length=4096), AfterValidator(parse_header_secret)]
Span: TypeAlias = Annotated[timedelta, BeforeValidator(parse_duration), _DURATION]
PositiveSpan: TypeAlias = Annotated[Span, AfterValidator(_above_zero), _DURATION]
Lease: TypeAlias = Annotated[Span, AfterValidator(_long_enough), _DURATION]
Origin: TypeAlias = Annotated[str, PlainValidator(addresses.parse_origin), _WEB]
BaseUrl: TypeAlias = Annotated[str, PlainValidator(addresses.parse_base_url), _WEB]
FauryaUrl: TypeAlias = Annotated[str, PlainValidator(addresses.parse_faurya_url), _WEB]
Page: TypeAlias = Annotated[str, PlainValidator(addresses.parse_page), _WEB]
Host: TypeAlias = Annotated[str, PlainValidator(addresses.parse_host), WithJsonSchema(_WORD)]
Network: TypeAlias = Annotated[
    IPv4Network | IPv6Network, PlainValidator(addresses.parse_network), WithJsonSchema(_WORD)
]
DatabaseUrl: TypeAlias = Annotated[
    SecretStr,
    BeforeValidator(parse_database_url),
    WithJsonSchema({"anyOf": [{"const": EMBEDDED}, {"type": "string", "pattern": "^postgres(ql)?://"}]}),
]
Price: TypeAlias = Annotated[
    str, AfterValidator(parse_price), WithJsonSchema({"type": "string", "pattern": f"^{_PRICE.pattern}$"})
]
Currency: TypeAlias = Annotated[str, PlainValidator(parse_currency), WithJsonSchema(_CODE)]
Currencies: TypeAlias = Annotated[
    tuple[str, ...] | None,
    PlainValidator(parse_currencies),
    WithJsonSchema({"anyOf": [_CODE_OR_ANY, {"type": "array", "items": _CODE, "minItems": 1, "uniqueItems": True}]}),
]
OneCurrency: TypeAlias = Annotated[
    tuple[str, ...] | None,
    PlainValidator(parse_one_currency),
    WithJsonSchema({"anyOf": [_CODE_OR_ANY, {"type": "array", "items": _CODE, "minItems": 1, "maxItems": 1}]}),
]
Claims: TypeAlias = Annotated[
    Literal["all", "own_checkouts"] | tuple[str, ...],
    PlainValidator(parse_claims),
    WithJsonSchema({"anyOf": [{"enum": ["all", "own_checkouts"]}, {"type": "array", "items": _WORD, "minItems": 1}]}),
]
