"""
The files of a configuration: the main one, those it includes, `.env` beside it, and secrets in files.

The only module here that opens anything.
"""

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path as FilePath
from typing import Any

from dotenv.parser import parse_stream

from gateway.config.complaints import NOT_A_MAPPING
from gateway.config.document import Document, read_document
from gateway.config.interpolation import Sources, Unresolved
from gateway.config.mistakes import Path, Report, shown

MAX_BYTES = 1_048_576
"""A configuration of a thousand sites has about this size; a device file has no end."""

_IN_INCLUDED = frozenset({"include", "sites"})


class Unreadable(Exception):
    """A file cannot be read; the message is the reason alone."""


class Absent(Unreadable):
    """There is no such file."""


def read_text(path: FilePath) -> str:
    """Return what a UTF-8 file holds; raise `Unreadable`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise Absent(error.strerror) from None
    except OSError as error:
        raise Unreadable(error.strerror or type(error).__name__) from None
    except ValueError:
        raise Unreadable("its name contains a NUL") from None
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"it is larger than {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8 text") from None


def sources(folder: FilePath, environ: Mapping[str, str], report: Report) -> Sources:
    """Return what `${...}` stands for: the environment beats `.env`; files are relative to the main file's folder."""
    variables = {**dotenv(folder / ".env", report), **environ}

    def file(name: str) -> str:
        try:
            return read_text(folder / name)
        except Unreadable as error:
            raise Unresolved(f"{name} cannot be read: {error}") from None

    return Sources(variables.get, file)


def dotenv(path: FilePath, report: Report) -> dict[str, str]:
    """Return the variables of a `.env` file as they are written, without expanding `$`; an absent file has none."""
    try:
        bindings = list(parse_stream(StringIO(read_text(path))))
    except Absent:
        return {}
    except Unreadable as error:
        report.add_at(str(path), None, "", f"cannot be read: {error}")
        return {}
    for binding in bindings:
        if binding.error:
            report.add_at(str(path), binding.original.line, "", "cannot be understood: write NAME=value")
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value is not None}


def read_files(path: FilePath, sources: Sources, report: Report) -> dict[str, Any] | None:
    """Return what the main file says, with the sites of all files; None when the main file cannot be read."""
    return _Files(sources, report).main(path)


@dataclass(slots=True)
class _Files:
    """Reads each file once, however often it is included."""

    sources: Sources
    report: Report
    sites: dict[str, Any] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    def main(self, path: FilePath) -> dict[str, Any] | None:
        try:
            document = self._document(path)
        except Unreadable as error:
            self.report.add_at(str(path), None, "", f"cannot be read: {error}")
            return None
        if not document.readable:
            return None
        self.report.adopt(document.places, document.broken)
        self._gather(path, document, (_identity(path),))
        return {key: value for key, value in document.data.items() if key != "include"} | {"sites": self.sites}

    def _document(self, path: FilePath) -> Document:
        document = read_document(read_text(path), str(path), self.sources)
        for at, line, message in document.problems:
            self.report.add_at(document.file, line, shown(at), message)
        self.report.incomplete = self.report.incomplete or not document.readable
        return document

    def _gather(self, path: FilePath, document: Document, chain: tuple[str, ...]) -> None:
        """Take over the sites of a file and of those that it includes; `chain` leads here from the main file."""
        self._take_sites(document)
        for at, name in self._included(path, document):
            included = path.parent / name
            identity = _identity(included)
            if identity in chain:
                self._mistake(document, at, f"{name} includes itself: remove it, or narrow the pattern")
            elif identity not in self.read:
                self.read.add(identity)
                self._include(document, at, included, chain)

    def _include(self, document: Document, at: Path, path: FilePath, chain: tuple[str, ...]) -> None:
        try:
            included = self._document(path)
        except Unreadable as error:
            self.report.incomplete = True
            self._mistake(document, at, f"{path} cannot be read: {error}")
            return
        for key in included.data.keys() - _IN_INCLUDED:
            self._mistake(included, (key,), "belongs in the main file: an included file has only sites and include")
        self._gather(path, included, (*chain, _identity(path)))

    def _take_sites(self, document: Document) -> None:
        sites = document.data.get("sites", {})
        if not isinstance(sites, Mapping):
            self._mistake(document, ("sites",), NOT_A_MAPPING)
            self.report.incomplete = True
            return
        for name, site in sites.items():
            if name in self.sites:
                first = self.report.line(("sites", name))
                self._mistake(document, ("sites", name), f"is already defined in {first}: keep one")
                continue
            self.sites[name] = site
            within = {path: place for path, place in document.places.items() if path[:2] == ("sites", name)}
            self.report.adopt(within, [path for path in document.broken if path in within])

    def _included(self, path: FilePath, document: Document) -> Iterator[tuple[Path, str]]:
        """Yield the files that a document names, with where it names them; a pattern may match none."""
        names = document.data.get("include", [])
        if not isinstance(names, list):
            self._mistake(document, ("include",), "must be a list of files or patterns, such as [sites.d/*.yaml]")
            return
        for index, name in enumerate(names):
            at = ("include", index)
            if not isinstance(name, str | None) or name == "":
                self._mistake(document, at, "must be the name of a file, or a pattern such as sites.d/*.yaml")
            elif name and glob.has_magic(name):
                found = glob.glob(name, root_dir=path.parent, recursive=True)  # noqa: PTH207 - skips dot files, as a shell
                yield from ((at, match) for match in sorted(found))
            elif name:
                yield at, name

    def _mistake(self, document: Document, path: Path, message: str) -> None:
        self.report.add_at(document.file, document.places[path].line, shown(path), message)


def _identity(path: FilePath) -> str:
    return os.path.realpath(path)
