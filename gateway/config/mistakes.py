"""
What is wrong with a configuration, and where.

    ConfigError         every mistake of the files, one per line
    PluginUnknown       a connection names a plugin that is not installed or does not load
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]
"""Where a setting is: ("sites", "acme", "origins", 0)."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file; the first line is 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """
    One thing to correct. Its message never contains a value of the file, of the environment or of `.env`.

    `line` is None where the file as a whole is meant, and `path` is then usually empty.
    """

    file: str
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; correct every line and try again."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class PluginUnknown(Exception):
    """The plugin is not installed or does not load; its message says which and what to do."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


def shown(path: Path) -> str:
    """Write a path as people read it: sites.acme.origins[0]. An odd key is quoted, so that a mistake stays one line."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _PLAIN_KEY.fullmatch(part) else json.dumps(part[:64]))
    return text


@dataclass(slots=True)
class Report:
    """
    Gathers mistakes while the files are read, and knows which line every setting came from.

    A setting that could not even be read (an unset variable, an empty value) is *broken*: later mistakes about it,
    about what contains it and about what is in it only repeat the first, and are dropped. `incomplete` says that a file
    could not be read at all, so that what seems to be absent may be in it.
    """

    places: dict[Path, Place] = field(default_factory=dict)
    incomplete: bool = False
    _broken: set[Path] = field(default_factory=set)
    _mistakes: dict[Mistake, None] = field(default_factory=dict)
    _files: dict[str, int] = field(default_factory=dict)

    def adopt(self, places: Mapping[Path, Place], broken: Iterable[Path]) -> None:
        """Take over where the settings of a file are, and which of them are broken."""
        self.places.update(places)
        self._broken.update(broken)

    def add(self, path: Path, message: str) -> None:
        """Note a mistake at the nearest line that is known, unless it follows from an earlier one."""
        if any(path[: len(broken)] == broken or broken[: len(path)] == path for broken in self._broken):
            return
        place = self.place(path)
        self.add_at(place.file, place.line, shown(path), message)

    def break_at(self, path: Path, message: str) -> None:
        """Note a mistake after which nothing more can be said about this setting."""
        self.add(path, message)
        self._broken.add(path)

    def add_at(self, file: str, line: int | None, path: str, message: str) -> None:
        """Note a mistake at a given line."""
        self._files.setdefault(file, len(self._files))
        self._mistakes[Mistake(file, line, path, message)] = None

    def place(self, path: Path) -> Place:
        """Return the line of a setting, or of the nearest setting around it that is in a file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                return self.places[path[:length]]
        return self.places[()]

    def line(self, path: Path) -> str:
        """Return where a setting is, as people write it: config.yaml:12."""
        place = self.place(path)
        return f"{place.file}:{place.line}"

    def mistakes(self) -> tuple[Mistake, ...]:
        """Return what was found, in the order of the files and their lines."""
        return tuple(sorted(self._mistakes, key=lambda found: (self._files[found.file], found.line or 0, found.path)))
