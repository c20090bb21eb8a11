"""`providers new`: four shapes of packages that work at once, installed as their authors would."""

import ast
import json
import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.cli.scaffold import TEMPLATES, CannotScaffold, Shape, check_name, files, package_name, write

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "providers" / "example"


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment that sees the project and its dependencies, with the four packages installed."""

    python: Path
    folders: dict[Shape, Path]

    def run(self, *arguments: str, cwd: Path, timeout: float = 120, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            cwd=cwd,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def name_of(shape: Shape) -> str:
    return f"made-{shape}"


@pytest.fixture(scope="module", name="installed")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    place, packages = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("packages")
    venv.create(place, symlinks=True)
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    seen = f"{ROOT}\n{sysconfig.get_path('purelib')}\n"
    (site_packages / "project.pth").write_text(seen, encoding="utf-8")
    folders = {shape: write(name_of(shape), shape, packages) for shape in Shape}
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--no-warn-script-location"]
    done = subprocess.run(
        [*pip, *options, *map(str, folders.values())], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Environment(python, folders)


@pytest.mark.parametrize("shape", Shape)
def test_the_tests_of_a_new_package_pass_at_once(shape: Shape, installed: Environment) -> None:
    done = installed.run(
        "-W", "error", "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:aiohttp", cwd=installed.folders[shape]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " failed" not in done.stdout
    assert int(done.stdout.rsplit("\n", 2)[-2].split(" passed")[0].split()[-1]) > 25


@pytest.mark.parametrize("shape", Shape)
def test_a_new_plugin_is_found_and_keeps_the_quick_rules(shape: Shape, installed: Environment, tmp_path: Path) -> None:
    done = installed.run("-m", "gateway", "providers", "--check", name_of(shape), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads(done.stdout)
    assert [result["rule"] for result in results if result["kept"] is False] == []
    assert sum(result["kept"] is True for result in results) >= 20


SALE = """
import asyncio, sys
from pathlib import Path
from harness import Clock, harness
from gateway.sdk import Attribution, RevenueKind

CONFIG = '''
server: {{{{public_url: "http://127.0.0.1:{{port}}", port: {{port}}}}}}
database: {{{{url: "{{database}}"}}}}
sites:
  acme:
    origins: ["https://www.acme.example"]
    faurya: {{{{api: revenue, url: "{{faurya}}", site_id: acme-site, write_key: acme-write-key}}}}
    providers:
      {name}: {{{{environment: live, api_key: made-up, {secrets}base_url: "{{provider}}"}}}}
    plans:
      pro: {{{{provider: {name}, items: [{{{{price_id: price_pro}}}}]}}}}
'''

async def main(database, folder):
    from datetime import UTC, datetime
    clock = Clock(datetime.now(UTC))
    async with harness(database, Path(folder), text=CONFIG, company="{name}", clock=clock) as gateway:
        order = {{"planId": "pro", "faVisitorId": "visitor-1"}}
        async with gateway.http.post(f"{{gateway.url}}/api/checkout/create", json=order,
                                     headers={{"Origin": "https://www.acme.example"}}) as answer:
            assert answer.status == 200, await answer.text()
            created = await answer.json()
        async with gateway.http.post(created["url"], data={{"do": "pay"}}) as page:
            assert page.status < 400
        await gateway.until("SELECT status FROM outbox", equals="recorded")
        (record,) = await gateway.recorded("acme")
        assert (record["visitor_id"], record["order_id"]) == ("visitor-1", created["orderId"]), record
        print("recorded", record["amount"])

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("shape", [Shape.HEADER, Shape.SIGNED_URL, Shape.FETCH])
async def test_a_sale_of_a_new_plugin_ends_in_faurya(
    shape: Shape, installed: Environment, database_url: str, tmp_path: Path
) -> None:
    """Order, payment at its stand-in, webhook to a running gateway, money at the Faurya stand-in."""
    secrets = "" if shape is Shape.FETCH else "webhook_secrets: [made-up-secret-1], "
    script = tmp_path / "sale.py"
    script.write_text(SALE.format(name=name_of(shape), secrets=secrets))
    support = str(ROOT / "tests" / "support")
    done = installed.run(str(script), database_url, str(tmp_path), cwd=tmp_path, PYTHONPATH=support)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["recorded 49.00"]), done.stdout + done.stderr


def shape_of(source: str) -> str:
    """A module's code without its words: docstrings, texts and names of the provider."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        if isinstance(node, ast.ImportFrom):
            node.names = sorted(node.names, key=lambda name: name.name)
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    rest = [node for node in tree.body if node not in imports]
    return "\n".join([*sorted(map(ast.dump, imports)), *map(ast.dump, rest)])


@pytest.mark.parametrize("module", ["__init__", "config", "events", "provider", "signature", "stand_in"])
def test_a_template_is_built_like_the_example(module: str) -> None:
    package = package_name("example")
    made = files("example", Shape.HEADER)[f"{package}/{module}.py"].replace(package, "providers.example")
    assert shape_of(made) == shape_of((EXAMPLE / f"{module}.py").read_text(encoding="utf-8"))


def test_the_fixtures_of_the_templates_are_those_of_the_example() -> None:
    expected = json.loads((EXAMPLE / "expected.json").read_text(encoding="utf-8"))
    for path in (TEMPLATES / "fixtures").glob("*.json"):
        assert json.loads(path.read_bytes()) == json.loads((EXAMPLE / "fixtures" / path.name).read_bytes())
    for name, outcome in json.loads((TEMPLATES / "expected.json").read_bytes()).items():
        assert outcome == expected[name]


@pytest.mark.parametrize("shape", Shape)
def test_a_package_compiles_whatever_its_name_is(shape: Shape) -> None:
    for name in ("a", "acme-pay_2", "x" * 40):
        for path, text in files(name, shape).items():
            if path.endswith(".py"):
                compile(text, path, "exec")
            if path.endswith(".json"):
                json.loads(text)
            assert not text.startswith("\n")
            assert "{{" not in text
            assert "{%" not in text


@pytest.mark.parametrize(
    "name", ["", "Acme", "1acme", "acme_", "acme--pay", "ä", "acme/pay", "../acme", "class", "a" * 41, "paddle"]
)
def test_a_bad_name_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(CannotScaffold):
        check_name(name, {"paddle"})
    done = CliRunner().invoke(app, ["providers", "new", "--shape", "header", "--into", str(tmp_path), "--", name])
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "faurya-gateway-acme"
    folder.mkdir()
    with pytest.raises(CannotScaffold, match="exists already"):
        write("acme", Shape.HEADER, tmp_path)
    assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [folder]


def test_without_a_terminal_the_shape_must_be_given(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["providers", "new", "acme", "--into", str(tmp_path)])
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "--shape is missing: one of header, standard-webhooks, signed-url, fetch" in done.output


def test_the_command_says_what_to_do_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["providers", "new", "acme", "--shape", "fetch", "--into", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "pip install -e" in done.output
    assert (tmp_path / "faurya-gateway-acme" / "faurya_gateway_acme" / "py.typed").exists()
