"""The built wheel, installed without the source tree."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMANDS = ("dev", "serve", "work", "migrate", "check", "trace", "simulate", "providers", "schema")
TABLES = ("checkouts", "inbox", "ledger", "outbox", "attempts", "holds", "refusals")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "gateway", "providers")


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment that holds the wheel."""

    bin: Path
    elsewhere: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its Python away from the source tree; nothing of the caller's environment reaches it."""
        return subprocess.run(
            [self.bin / "python", "-I", *arguments],
            cwd=self.elsewhere,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, *arguments: str) -> str:
        """Run `faurya-gateway` and return what it prints; it must end well."""
        done = self.run(str(self.bin / "faurya-gateway"), *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout


@pytest.fixture(scope="session")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because a build leaves files in its source tree and takes up those of earlier builds."""
    copy, wheels = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheels")
    for name in SOURCES:
        if (root / name).is_dir():
            shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(root / name, copy / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(copy)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = wheels.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel's own dependencies are lent by the environment that runs the tests, so no network is needed."""
    place = tmp_path_factory.mktemp("installed")
    venv.create(place, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-index", "--no-deps", str(wheel)], check=True, timeout=120)
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    # a folder named in a .pth file comes last on the path, and .pth files in it (the editable install) do not count
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Installed(place / "bin", tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(root: Path, wheel: Path) -> None:
    files = (file for package in ("gateway", "providers") for file in (root / package).rglob("*") if file.is_file())
    relative = (file.relative_to(root) for file in files)
    expected = {
        path.as_posix() for path in relative if not any(p.startswith(".") or p == "__pycache__" for p in path.parts)
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected


def test_the_wheel_carries_the_license_and_the_readme(root: Path, wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    assert metadata.replace("METADATA", "licenses/LICENSE") in archive.namelist()
    assert archive.read(metadata).decode().rstrip().endswith((root / "README.md").read_text(encoding="utf-8").rstrip())


@pytest.mark.parametrize("package", ["gateway", "providers"])
def test_the_packages_come_from_the_wheel(package: str, installed: Installed) -> None:
    done = installed.run("-c", f"import {package}; print({package}.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.bin.parent)


def test_every_module_imports(installed: Installed) -> None:
    code = """
import importlib, pkgutil
for top in ("gateway", "providers"):
    for module in pkgutil.walk_packages(importlib.import_module(top).__path__, top + "."):
        if module.name != "gateway.__main__":
            importlib.import_module(module.name)
print("all")
"""
    done = installed.run("-W", "error", "-c", code)
    assert (done.stdout, done.stderr) == ("all\n", "")


def test_the_shipped_providers_are_found_under_their_own_names(root: Path, installed: Installed) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = (
        "from importlib.metadata import entry_points\n"
        "for found in entry_points(group='faurya_gateway.providers'): print(found.name, found.load().name)"
    )
    named = {f"{name} {name}" for name in project["entry-points"]["faurya_gateway.providers"]}
    assert set(installed.run("-c", code).stdout.splitlines()) == named


def test_help_names_every_command(installed: Installed) -> None:
    shown = installed.command("--help")
    assert [command for command in COMMANDS if command not in shown] == []


def test_the_module_is_the_command(installed: Installed) -> None:
    done = installed.run("-m", "gateway", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "simulate" in done.stdout


def test_schema_prints_json_schema(installed: Installed) -> None:
    assert "sites" in json.loads(installed.command("schema"))["properties"]


def test_migrate_prints_the_sql_of_every_table(installed: Installed) -> None:
    sql = installed.command("migrate", "--sql")
    assert [table for table in TABLES if f"CREATE TABLE {table} (" not in sql] == []


def test_an_unknown_command_is_a_usage_mistake(installed: Installed) -> None:
    assert installed.run("-m", "gateway", "no-such-command").returncode == 2
