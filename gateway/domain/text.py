"""Text that Postgres, JSON and a log line can all carry."""

from gateway.domain.errors import Malformed

MAX_TEXT = 512
"""Characters. The longest id seen at 18 providers is under 256; the rest is headroom."""


def is_storable(value: str) -> bool:
    """Say whether Postgres can store `value` as text: no NUL, no lone surrogate."""
    return "\0" not in value and (value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value))


def checked(value: object, field: str, limit: int = MAX_TEXT) -> str:
    """Return a non-empty storable string of at most `limit` characters; raise `Malformed` for anything else."""
    if not isinstance(value, str):
        raise Malformed(f"{field} must be a string, not {type(value).__name__}")
    if not value:
        raise Malformed(f"{field} must not be empty")
    if len(value) > limit:
        raise Malformed(f"{field} has {len(value)} characters; at most {limit} are accepted")
    if not is_storable(value):
        raise Malformed(f"{field} contains a NUL or a lone surrogate")
    return value


def checked_or_none(value: object, field: str, limit: int = MAX_TEXT) -> str | None:
    """Like `checked`, but None and the empty string mean absent."""
    return None if value is None or value == "" else checked(value, field, limit)


def printable(value: str, limit: int) -> str:
    """Return `value` made safe to store and to show: control characters and surrogates replaced, cut at `limit`."""
    cut = value if len(value) <= limit else value[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in cut)
