"""
`python -m gateway.conformance tests/test_conformance.py`: write `expected.json` for fixtures that it does not know yet.

What is written is what the plugin makes of its fixtures today, right or wrong: its author reads it against the payloads
before committing it. `--all` writes every fixture anew; version control then shows what changed.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from gateway.conformance import Conformance, Subject
from gateway.conformance.recordings import Unreadable, expectation_of, expectations, write_expectations
from gateway.conformance.trial import trial


def main(arguments: list[str] | None = None) -> int:
    """Write the expectations of every test class in a file. Exit: 0 written, 1 a fixture cannot be expected."""
    parser = argparse.ArgumentParser(prog="python -m gateway.conformance", description=__doc__)
    parser.add_argument("file", type=Path, help="the file of the test class")
    parser.add_argument("--all", action="store_true", help="write every fixture anew")
    given = parser.parse_args(arguments)
    subjects = [found.subject() for found in _classes(_module(given.file))]
    if not subjects:
        parser.error(f"{given.file} has no subclass of Conformance")
    try:
        for subject in subjects:
            for line in asyncio.run(write(subject, anew=given.all)):
                sys.stdout.write(f"{line}\n")
    except Unreadable as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    return 0


async def write(subject: Subject, *, anew: bool) -> list[str]:
    """Write what is missing in a plugin's `expected.json`; return what was done. Raises `Unreadable`."""
    path = subject.expectations
    if path is None:
        raise Unreadable(f"the test class of {subject.plugin.name} names no `fixtures` folder")
    known = {} if anew else dict(expectations(path))
    done = []
    async with trial(subject) as running:
        for recording in running.recordings():
            if recording.name not in known:
                known[recording.name] = expectation_of(await running.read(recording))
                done.append(f"{recording.name}: written, read it before you commit it")
    write_expectations(path, known)
    return done or [f"{path.name} knows every fixture"]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise SystemExit(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(Path.cwd()))
    spec.loader.exec_module(module)
    return module


def _classes(module: ModuleType) -> list[type[Conformance]]:
    found = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Conformance))
    return [each for each in found if each is not Conformance and hasattr(each, "plugin")]


if __name__ == "__main__":
    sys.exit(main())
