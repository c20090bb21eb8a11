"""The secrets of a configuration: which they are, and where the files put them."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeGuard, get_args, get_origin
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AliasChoices, BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from gateway.config.mistakes import Path
from gateway.config.models import Config

_BY_NAME = ("populate_by_name", "validate_by_name")
_PASSWORD_PARAMETERS = ("password", "sslpassword")


def secret_values(config: Config) -> frozenset[str]:
    """Return every secret value in use, so that log redaction can hide it wherever it appears."""
    url = config.database.url.get_secret_value()
    found = {value for site in config.sites.values() for value in secrets_in(site)}
    if not config.database.embedded:
        found.update((url, *_passwords(url)))
    return frozenset(value for value in found if value)


def secret_leaves(annotation: Any, raw: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """
    Yield where a file gives text that a model of this annotation keeps secret, with the text.

    Works on what the file says, so that secrets are known even where the model refuses them.
    """
    origin = get_origin(annotation)
    if annotation in (SecretStr, SecretBytes):
        yield from _texts(raw, path)
    elif is_model(annotation):
        for key, field in fields_by_key(annotation).items():
            if isinstance(raw, Mapping) and key in raw:
                yield from secret_leaves(field.annotation, raw[key], (*path, key))
    elif isinstance(origin, type) and issubclass(origin, Collection):
        for part, item in _children(raw):
            for inner in get_args(annotation):
                yield from secret_leaves(inner, item, (*path, part))
    else:
        for inner in get_args(annotation):
            yield from secret_leaves(inner, raw, path)


def is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    """Say whether an annotation is a pydantic model."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation names, alone, in a union or as the items of a collection."""
    if is_model(annotation):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)


def fields_by_key(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by every key that a file may use for them."""
    found: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
        keys = [key for key in choices if isinstance(key, str)]
        by_name = not keys or any(model.model_config.get(option) for option in _BY_NAME)
        found.update(dict.fromkeys([name, *keys] if by_name else keys, field))
    return found


def _children(raw: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(raw, Mapping):
        yield from raw.items()
    elif isinstance(raw, list):
        yield from enumerate(raw)


def _texts(raw: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(raw, str):
        yield path, raw
    for key, item in _children(raw):
        yield from _texts(item, (*path, key))


def secrets_in(value: Any) -> Iterator[str]:
    """Yield every secret value in models and containers."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("utf-8", "replace")
    elif isinstance(value, BaseModel):
        for _, inner in value:
            yield from secrets_in(inner)
    elif isinstance(value, Mapping):
        yield from secrets_in(tuple(value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from secrets_in(inner)


def _passwords(url: str) -> Iterator[str]:
    """Yield the passwords in a Postgres URL, as they are written and as they are meant."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return
    if parts.password:
        yield from (parts.password, unquote(parts.password))
    for name, values in parse_qs(parts.query).items():
        if name in _PASSWORD_PARAMETERS:
            yield from values
