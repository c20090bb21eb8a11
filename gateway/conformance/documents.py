"""Webhook bodies taken apart, changed in one place and put together again. Pure; JSON and forms."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

Path = tuple[str | int, ...]

GONE = object()
"""Stands for a part that is taken out."""


@dataclass(frozen=True, slots=True)
class Document:
    """A body's content and how to write it."""

    content: Any
    write: Callable[[Any], bytes]

    def parts(self) -> Iterator[tuple[Path, Any]]:
        """Yield every part with its path, outer ones first."""
        yield from _parts(self.content, ())

    def places_of(self, wanted: str) -> list[Path]:
        """Return where exactly this text stands, the shallowest first."""
        found = [path for path, value in self.parts() if value == wanted and isinstance(value, str)]
        return sorted(found, key=len)

    def changed(self, paths: list[Path], value: Any) -> bytes:
        """Return the body with another value (or `GONE`) in these places."""
        content = copy.deepcopy(self.content)
        for path in paths:
            holder = content
            for step in path[:-1]:
                holder = holder[step]
            if value is GONE:
                del holder[path[-1]]
            else:
                holder[path[-1]] = value
        return self.write(content)


def document(body: bytes) -> Document | None:
    """Return a JSON or form body taken apart; None for anything else."""
    try:
        return Document(json.loads(body), lambda content: json.dumps(content).encode())
    except (ValueError, RecursionError):
        pass
    try:
        fields = dict(parse_qsl(body.decode("ascii"), strict_parsing=True, keep_blank_values=True))
    except ValueError:
        return None
    if not fields:
        return None
    return Document(fields, lambda content: urlencode(content, errors="surrogatepass").encode())


def other_id(value: str) -> str:
    """Return an id of the same shape that is another one: its last letter or digit changed."""
    for index in range(len(value) - 1, -1, -1):
        char = value[index]
        if char.isascii() and char.isalnum():
            other = "0" if char == "9" else "9" if char.isdigit() else "b" if char == "a" else "a"
            return value[:index] + other + value[index + 1 :]
    return value + "9"


def odd_shapes(found: Document) -> Iterator[tuple[str, bytes]]:
    """Yield the document with each of its parts gone, null, and of another type, and say what was done."""
    for path, value in found.parts():
        if path:
            where = ".".join(map(str, path))
            yield f"{where} taken out", found.changed([path], GONE)
            for odd in (odd for odd in _odd(value) if json.dumps(odd) != json.dumps(value)):
                yield f"{where} = {json.dumps(odd)[:40]}", found.changed([path], odd)


def _odd(value: Any) -> tuple[Any, ...]:
    match value:
        case bool():
            return (None, "true", 1)
        case int() | float():
            return (None, "x", {}, [1], -(10**30), 10**400, True)
        case str():
            return (None, 7, {}, ["x"], "", "\0", "\ud800", "x" * 5000)
        case dict():
            return (None, "x", 7, [], {})
        case list():
            return (None, "x", 7, {}, [], [None], [[]])
    return ("x", 7, {}, [])


def _parts(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _parts(part, (*path, name))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _parts(part, (*path, index))
