"""
`${NAME}`, `${NAME:-default}` and `${file:/run/secrets/x}` inside a value, and `$$` for a literal `$`.

Pure: what a name or a file stands for is an argument. A `$` before anything else stays as it is.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

_TOKEN = re.compile(r"\$\$|\$\{(?P<body>[^{}]*)\}|\$\{")
_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_FILE = "file:"

MALFORMED = "has a malformed ${...}: write ${NAME}, ${NAME:-default} or ${file:/path}, and $$ for a literal $"


class Unresolved(Exception):
    """A `${...}` stands for nothing; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a name stands for (None: nothing), and what a file holds (raises `Unresolved`)."""

    variable: Callable[[str], str | None]
    file: Callable[[str], str]


@dataclass(frozen=True, slots=True, repr=False)
class Resolved:
    """A value with every `${...}` replaced; `problems` names those that could not be."""

    text: str
    problems: tuple[str, ...]


def interpolate(text: str, sources: Sources) -> Resolved:
    """Replace every `${...}` and `$$` of one value. What is put in is not looked at again."""
    problems: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        try:
            return _resolve(match["body"], sources)
        except Unresolved as error:
            problems.append(str(error))
            return ""

    return Resolved(_TOKEN.sub(replacement, text), tuple(problems))


def _resolve(body: str | None, sources: Sources) -> str:
    """Return what one expression stands for. As in a shell, `:-` also replaces an empty value."""
    if body is None:
        raise Unresolved(MALFORMED)
    if body.startswith(_FILE):
        return sources.file(body.removeprefix(_FILE)).rstrip("\r\n")
    match = _VARIABLE.fullmatch(body)
    if match is None:
        raise Unresolved(MALFORMED)
    name, default = match["name"], match["default"]
    value = sources.variable(name)
    if default is not None:
        return value or default.replace("$$", "$")
    if value is None:
        raise Unresolved(
            f"{name} is not set: set {name} in the environment or in .env, or give a default: ${{{name}:-...}}"
        )
    return value
