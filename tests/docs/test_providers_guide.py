"""`docs/providers.md`, followed literally: every file is written, every command is run, in the order of the page."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from gateway.conformance.suite import Conformance

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "providers.md"
BLOCK = re.compile(r"^```(\w+)(?: (file|in|add)=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

WRAPPERS = {
    "faurya-gateway": 'exec python -m gateway "$@"',
    "pytest": 'exec python -m pytest -p no:asyncio -p no:aiohttp -p no:cacheprovider "$@"',
    # what the page installs comes from the environment that runs this test, so no network is needed
    "pip": f'exec {sys.executable} -m pip --python "$PLACE/bin/python" install -q --no-index --no-deps'
    " --no-build-isolation -e .",
}


@pytest.fixture(scope="module", name="place")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that sees the project, with the commands that the page uses."""
    place = tmp_path_factory.mktemp("venv")
    venv.create(place, symlinks=True)
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (site_packages / "project.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    for name, line in WRAPPERS.items():
        wrapper = place / "bin" / name
        wrapper.write_text(f"#!/bin/sh\n{line}\n")
        wrapper.chmod(0o755)
    return place


def run(commands: str, folder: Path, place: Path) -> tuple[str, Path]:
    """Run a block of shell; return what it printed and the folder that it ended in."""
    environ = {"PATH": f"{place / 'bin'}:{os.defpath}", "LANG": "C.UTF-8", "PLACE": str(place)}
    done = subprocess.run(
        ["/bin/sh", "-euc", f"{commands}\npwd > {place}/folder"],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout, Path((place / "folder").read_text().strip())


def with_functions(source: str, block: str) -> str:
    """Return a module in which the methods of `block` stand in place of those of the same name."""
    for method in ast.parse("class _:\n" + block).body[0].body:  # type: ignore[attr-defined]
        lines, given = source.splitlines(keepends=True), block.splitlines(keepends=True)
        (old,) = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == method.name
            and node.col_offset
        ]
        new = given[method.lineno - 2 : method.end_lineno - 1]
        source = "".join([*lines[: old.lineno - 1], *new, *lines[old.end_lineno :]])
    return source


def with_imports(source: str, block: str) -> str:
    """Return a module that imports these names too."""
    future = "from __future__ import annotations\n"
    assert future in source
    return source.replace(future, f"{future}\n{block}", 1)


def test_who_follows_the_page_has_a_plugin_that_keeps_every_rule(place: Path, tmp_path: Path) -> None:
    folder, printed = tmp_path, []
    for language, how, name, block in BLOCK.findall(GUIDE.read_text(encoding="utf-8")):
        file = folder / name
        if how == "file":
            file.write_text(block, encoding="utf-8")
        elif how == "in":
            file.write_text(with_functions(file.read_text(), block), encoding="utf-8")
        elif how == "add":
            file.write_text(with_imports(file.read_text(), block), encoding="utf-8")
        elif language == "sh":
            out, folder = run(block, folder, place)
            printed.append(out)
    scaffolded, *_, finished = [out for out in printed if " passed" in out]
    assert not re.search(r"\d+ failed", scaffolded + finished)
    assert "0 broken" in finished
    expected = (folder / "tests" / "expected.json").read_text()
    assert '"amount": "65.00 USD"' in expected
    assert '"key": "refund:ret_31"' in expected


def test_the_page_names_every_attribute_of_the_test_class() -> None:
    table = GUIDE.read_text(encoding="utf-8").partition("The attributes of the class:")[2].partition("`prepare(")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    assert named == set(Conformance.__annotations__)


def test_the_failure_on_the_page_is_one_that_the_kit_prints() -> None:
    from gateway.conformance.freshness import a_future_webhook_is_refused as rule

    page = GUIDE.read_text(encoding="utf-8")
    assert rule.rule in page
    assert rule.why in page
