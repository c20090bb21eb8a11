"""
Every SQL statement in the code, found by reading it: what is handed to the driver, and the text that it stands for.

A test that ran the code would see what it happens to run. A call whose text cannot be read here is found too, so that
nobody can send a statement that is looked at by nobody.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import gateway

SENDING = frozenset({"execute", "executemany", "fetch", "fetchrow", "fetchval", "prepare"})
PASSED_ON = {"_rows": 1}
"""Functions of ours that hand a text on to the driver, and where it stands among their arguments."""

PLANNED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "VALUES")


@dataclass(frozen=True, slots=True)
class Text:
    """A statement: `name` is its module and its constant, or its module and the function that it stands in."""

    name: str
    sql: str | None
    """None where it is put together while the program runs."""

    @property
    def is_planned(self) -> bool:
        """Whether Postgres makes a plan for it; other statements (SET, ANALYZE) touch no row of ours."""
        return self.sql is not None and self.sql.lstrip(" \n(").upper().startswith(PLANNED)


def of_the_gateway() -> dict[str, Text]:
    """Return every statement of the gateway, by name."""
    root = Path(gateway.__file__).parent
    found: dict[str, Text] = {}
    for path in sorted(root.rglob("*.py")):
        if "migrations" in path.parts:  # plain DDL, and Alembic's own files
            continue
        parts = path.relative_to(root.parent).with_suffix("").parts
        tree = ast.parse(path.read_text())
        if any(True for _ in _sent(tree)):
            found |= of_module(parts[-1], tree, vars(import_module(".".join(parts))))
    return found


def of_module(module: str, tree: ast.Module, names: Mapping[str, Any]) -> dict[str, Text]:
    """Return the statements of one module; `names` is what its constants are."""
    found: dict[str, Text] = {}
    for function, sent in _sent(tree):
        for text in _texts(sent, names):
            name = f"{module}.{text.name or function}"
            while name in found and found[name].sql != text.sql:  # several in one function
                name += "'"
            found[name] = Text(name, text.sql)
    return found


def _sent(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is handed to the driver, and the function in which that is done."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or function.name in PASSED_ON:
            continue
        for call in ast.walk(function):
            if not isinstance(call, ast.Call):
                continue
            if isinstance(call.func, ast.Attribute) and call.func.attr in SENDING and call.args:
                yield function.name, call.args[0]
            elif isinstance(call.func, ast.Name) and call.func.id in PASSED_ON:
                yield function.name, call.args[PASSED_ON[call.func.id]]


def _texts(sent: ast.expr, names: Mapping[str, Any]) -> list[Text]:
    match sent:
        case ast.Constant(value=str() as sql):
            return [Text("", sql)]
        case ast.Name(id=name) if isinstance(names.get(name), str):
            return [Text(name, names[name])]
        case ast.IfExp(body=body, orelse=orelse):
            return _texts(body, names) + _texts(orelse, names)
        case _:
            return [Text("", None)]
