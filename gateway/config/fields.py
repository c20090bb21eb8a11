"""
Reading one part of a configuration field by field, so that one wrong value hides no other.

Everything is reported, nothing raised; a setting without a valid value is left out of the answer (none of them can be
None: the files have no null).
"""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.complaints import NOT_A_MAPPING, complaint, located, missing, unknown_key
from gateway.config.mistakes import Path, Report
from gateway.config.secrets import secret_leaves

Reader = Callable[[Any, Path], Any]
"""Takes a raw value and where it is; returns the valid value, or None after reporting why there is none."""

BY_PLACE = frozenset({"name", "settings", "skipped"})
"""Fields that no key of a file sets: they come from the place, from the plugin or from what happened."""

Problems = tuple[tuple[Path, str], ...]


def read_fields(
    model: type[BaseModel], raw: Any, path: Path, report: Report, readers: Mapping[str, Reader] | None = None
) -> dict[str, Any]:
    """Return the valid fields of one part by name; `readers` take those that need more than their annotation."""
    if not isinstance(raw, Mapping):
        report.add(path, NOT_A_MAPPING)
        return {}
    fields = {name: info for name, info in model.model_fields.items() if name not in BY_PLACE}
    for key in raw:
        if key not in fields:
            report.add((*path, key), unknown_key(key, fields))
    values = {}
    for name, info in fields.items():
        at = (*path, name)
        if name in raw:
            reader = (readers or {}).get(name)
            values[name] = reader(raw[name], at) if reader else read_value(_field(model, name), raw[name], at, report)
        elif info.is_required():
            report.add(at, missing(info))
    return {name: value for name, value in values.items() if value is not None}


def read_named(raw: Any, path: Path, report: Report, rule: tuple[re.Pattern[str], str], read: Reader) -> dict[str, Any]:
    """Return the valid entries of a mapping from names that somebody chose; `rule` is the pattern and its message."""
    if not isinstance(raw, Mapping):
        report.add(path, NOT_A_MAPPING)
        return {}
    pattern, message = rule
    for name in raw:
        if not pattern.fullmatch(name):
            report.add((*path, name), message)
    entries = {name: read(value, (*path, name)) for name, value in raw.items()}
    return {name: value for name, value in entries.items() if value is not None}


def read_value(annotation: Any, raw: Any, path: Path, report: Report) -> Any:
    """Return the value of one annotation, or None after reporting."""
    refuse_blank_secrets(annotation, raw, path, report)
    value, problems = validated(annotation, raw)
    for where, message in problems:
        report.add((*path, *where), message)
    return value


def refuse_blank_secrets(annotation: Any, raw: Any, path: Path, report: Report) -> None:
    """Report secrets that are empty: an empty key would sign, and accept, anything."""
    for where, text in secret_leaves(annotation, raw):
        if not text.strip():
            report.break_at((*path, *where), "is empty: a secret must have a value")


def validated(annotation: Any, raw: Any) -> tuple[Any, Problems]:
    """Return a value of `annotation`, or None and what is wrong with which part of it. Runs a plugin's validators."""
    try:
        return _adapter(annotation).validate_python(raw), ()
    except ValidationError as error:
        secrets = [text for _, text in secret_leaves(annotation, raw)]
        errors = error.errors(include_url=False, include_input=False)
        return None, tuple(
            (located(found["loc"], raw, key_absent=found["type"] == "missing"), complaint(found, annotation, secrets))
            for found in errors
            if not _follows(found, errors)
        )
    except Exception as error:  # noqa: BLE001 - the plugin's own code; its message may quote a secret, its type cannot
        return None, (((), f"the plugin's own check failed ({type(error).__name__}): tell the plugin's author"),)


def _follows(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """Say whether a list is only too short because pydantic does not count its wrong entries."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(
        len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in errors
    )


@cache
def _field(model: type[BaseModel], name: str) -> Any:
    info = model.model_fields[name]
    return Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)
