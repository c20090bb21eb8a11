"""
What pydantic found wrong, said for people: what to do, and never a value.

pydantic's own texts speak of inputs; these tables speak of the file.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.mistakes import Path
from gateway.config.secrets import fields_by_key, models_in

HIDDEN = "(hidden)"
_ABSENT = object()
NOT_A_MAPPING = "must be a mapping (key: value lines)"

_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
_YES_NO = "must be true or false"
_TEXT = "must be text: put a number, true or false in quotes"
_LIST = "must be a list ([a, b] or lines that begin with -)"

_BY_TYPE = {
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "decimal_type": _NUMBER,
    "decimal_parsing": _NUMBER,
    "bool_type": _YES_NO,
    "bool_parsing": _YES_NO,
    "string_type": _TEXT,
    "bytes_type": _TEXT,
    "path_type": _TEXT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": NOT_A_MAPPING,
    "mapping_type": NOT_A_MAPPING,
    "model_type": NOT_A_MAPPING,
    "model_attributes_type": NOT_A_MAPPING,
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
}


def complaint(error: ErrorDetails, annotation: Any, secrets: Iterable[str] = ()) -> str:
    """
    Return the message for one error that a value of `annotation` had.

    `secrets` are hidden in it: a plugin's own message may quote what it was given.
    """
    kind, loc = error["type"], error["loc"]
    if kind in ("missing", "extra_forbidden"):
        known = _keys_at(annotation, loc[:-1])
        key = str(loc[-1])
        return missing(known.get(key)) if kind == "missing" else unknown_key(key, known)
    facts = error.get("ctx", {})
    if kind in _BY_TYPE:
        return _BY_TYPE[kind].format_map(facts)
    return _without(str(facts.get("error", error["msg"])), secrets)


def missing(field: FieldInfo | None) -> str:
    """Return the message for a key that must be given; the field's description says with what."""
    return f"is required: {field.description}" if field and field.description else "is required: add it"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the message for a key that nobody reads."""
    names = sorted(set(known))
    close = get_close_matches(key, names, n=1)
    if close:
        return f"unknown key: did you mean {close[0]}?"
    return "unknown key: remove it" + (f" (known: {', '.join(names)})" if names else "")


def located(loc: tuple[int | str, ...], raw: Any, *, key_absent: bool) -> Path:
    """Return where in the file an error is: pydantic's location less the names of union members."""
    path: list[int | str] = []
    for position, part in enumerate(loc):
        found = _child(raw, part)
        if found is not _ABSENT:
            raw = found
        elif not (key_absent and position == len(loc) - 1):
            continue
        path.append(part)
    return tuple(path)


def _child(raw: Any, part: int | str) -> Any:
    if isinstance(raw, Mapping):
        return raw.get(part, _ABSENT)
    return raw[part] if isinstance(raw, list) and isinstance(part, int) and part < len(raw) else _ABSENT


def _keys_at(annotation: Any, loc: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """Return the fields that may stand at a place within a value of `annotation`."""
    models = list(models_in(annotation))
    for part in loc:
        fields = [fields_by_key(model).get(str(part)) for model in models]
        models = [inner for field in fields if field for inner in models_in(field.annotation)] or models
    return {key: field for model in models for key, field in fields_by_key(model).items()}


def _without(text: str, secrets: Iterable[str]) -> str:
    """Return a message on one line, without secrets as they are, stripped or escaped."""
    spellings = {spelling for secret in secrets for spelling in (secret, secret.strip(), repr(secret)[1:-1])}
    for spelling in sorted(spellings - {""}, key=len, reverse=True):
        short = len(spelling) < 4  # a short one is also within ordinary words
        text = re.sub(rf"(?<!\w){re.escape(spelling)}(?!\w)" if short else re.escape(spelling), HIDDEN, text)
    return " ".join(text.split())
