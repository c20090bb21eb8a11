"""
One YAML file as plain values, with the line of each.

Pure: text in, values and mistakes out. `${...}` is replaced in scalars that are already parsed, so a value can never
become YAML structure. Messages of the YAML parser are shown without what they quote from the file.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from gateway.config.interpolation import Sources, interpolate
from gateway.config.mistakes import Path, Place
from gateway.domain.text import is_storable

MAX_NODES = 100_000
"""About a thousand sites. Aliases can make a short file mean far more than anybody wrote."""

_TAG = "tag:yaml.org,2002:"
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""", re.DOTALL)
_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F]+|0o[0-7]+|[0-9]+)")

NO_VALUE = "has no value: give one, or remove the line"


@dataclass(slots=True)
class Document:
    """
    What one file says, if it is `readable` at all.

    `problems` are (path, line, message); `broken` are settings without a value.
    """

    file: str
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    places: dict[Path, Place] = field(default_factory=dict)
    broken: set[Path] = field(default_factory=set)
    problems: list[tuple[Path, int | None, str]] = field(default_factory=list)
    readable: bool = True

    def refuse(self, line: int | None, message: str) -> None:
        """Note why the file as a whole says nothing."""
        self.data, self.readable = {}, False
        self.problems.append(((), line, message))


class _TooMuch(Exception):
    """The file means more values than `MAX_NODES`."""


def read_document(text: str, file: str, sources: Sources) -> Document:
    """Parse one file. Nothing is raised: a file that cannot be parsed has no data and one problem."""
    document = Document(file)
    document.places[()] = Place(file, 1)
    try:
        root = _compose(text)
        if root is None:
            document.refuse(1, "is empty: remove the file, or write the settings")
        elif not isinstance(root, MappingNode):
            document.refuse(1, "must be a mapping (key: value lines) at the top")
        else:
            document.data = _Builder(document, sources).mapping(root, ())
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        document.refuse(line, "has a character that YAML does not allow: remove it, or use an escape")
    except MarkedYAMLError as error:
        document.refuse(*_syntax(error))
    except (RecursionError, _TooMuch):
        document.refuse(None, f"is nested too deeply, or means more than {MAX_NODES} values")
    return document


def _compose(text: str) -> Node | None:
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False  # the warning would quote the file
    root: Node | None = yaml.compose(text)
    return root


def _syntax(error: MarkedYAMLError) -> tuple[int | None, str]:
    mark = error.problem_mark or error.context_mark
    said = _QUOTED.sub(lambda quoted: quoted[0] if len(quoted[0]) <= 4 else "...", f"{error.problem or error.context}")
    return (None if mark is None else mark.line + 1), f"YAML cannot be read here: {said}"


@dataclass(slots=True)
class _Builder:
    """Turns nodes into values, noting where each was."""

    document: Document
    sources: Sources
    seen: int = 0
    open: list[int] = field(default_factory=list)

    def mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                self._problem(path, line, "has a key that is a list or a mapping: keys are words")
                continue
            if key_node.tag == _TAG + "merge":
                self._problem(path, line, "merge keys (<<) are not supported: write the keys out")
                continue
            key = str(key_node.value)
            at = (*path, key)
            if at in self.document.places:
                self._problem(at, line, f"is given twice, here and in line {self.document.places[at].line}: keep one")
                continue
            self.document.places[at] = Place(self.document.file, line)
            value = self._value(value_node, at, line)
            if value is not None:
                values[key] = value
        return values

    def _value(self, node: Node, path: Path, line: int) -> Any:
        """Return a value, or None after noting why there is none."""
        self.seen += 1
        if self.seen > MAX_NODES:
            raise _TooMuch
        if id(node) in self.open:
            return self._break(path, line, "refers to itself: write the value out")
        if node.tag is None or not node.tag.startswith(_TAG):
            return self._break(path, line, "has a YAML tag (!...): tags are not supported, put text in quotes")
        self.open.append(id(node))
        try:
            if isinstance(node, MappingNode):
                return self.mapping(node, path)
            if isinstance(node, SequenceNode):
                return self._sequence(node, path)
            return self._scalar(node, path, line)
        finally:
            self.open.pop()

    def _sequence(self, node: SequenceNode, path: Path) -> list[Any]:
        values = []
        for index, item in enumerate(node.value):
            line = item.start_mark.line + 1
            self.document.places[*path, index] = Place(self.document.file, line)
            values.append(self._value(item, (*path, index), line))
        return values

    def _scalar(self, node: Node, path: Path, line: int) -> Any:
        kind = str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return self._break(path, line, NO_VALUE)
        resolved = interpolate(str(node.value), self.sources)
        for problem in resolved.problems:
            self._break(path, line, problem)
        if resolved.problems:
            return None
        if not is_storable(resolved.text):
            return self._break(path, line, "contains a NUL or is not valid UTF-8: correct where the value comes from")
        return _typed(resolved.text, kind)

    def _problem(self, path: Path, line: int, message: str) -> None:
        self.document.problems.append((path, line, message))

    def _break(self, path: Path, line: int, message: str) -> None:
        self._problem(path, line, message)
        self.document.broken.add(path)


def _typed(text: str, kind: str) -> str | int | float | bool:
    """Return a plain scalar as YAML 1.2 means it; whatever does not fit stays text, for the models to judge."""
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "int" and _INTEGER.fullmatch(text) and len(text) < 100:
        return int(text, 0) if "x" in text or "o" in text else int(text)
    if kind == "float":
        try:
            return float(text)
        except ValueError:
            return text
    return text
