"""The kit as authors meet it: a test class, its failures, and the command that writes what comes out of fixtures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gateway.conformance
import providers.example
from gateway.conformance.__main__ import main

ROOT = Path(__file__).parents[2]
FOLDER = Path(providers.example.__file__).parent

CLASS = """
from gateway.conformance import Conformance
from tests.conformance.faulty import {provider}
from tests.conformance.variations import plugin_of

SECRETS = ["whsec_number_1", "whsec_number_2"]
CONFIG = {{"environment": "sandbox", "api_key": "example-made-up", "webhook_secrets": SECRETS}}

class TestMine(Conformance):
    plugin = plugin_of({provider})
    config = CONFIG
    fixtures = "fixtures"
    vectors = "vectors"
"""


def author(folder: Path, text: str) -> Path:
    """Make the tests of an author."""
    shutil.copytree(FOLDER / "fixtures", folder / "fixtures")
    shutil.copytree(FOLDER / "vectors", folder / "vectors")
    file = folder / "test_mine.py"
    file.write_text(text)
    return file


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


PYTEST = ("-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:aiohttp", "-p", "no:cacheprovider")


def test_a_failure_says_what_was_sent_what_came_back_and_why_the_rule_exists(tmp_path: Path) -> None:
    file = author(tmp_path, CLASS.format(provider="AcceptsTheFuture"))
    assert run("-m", "gateway.conformance", file.name, cwd=tmp_path).returncode == 0
    done = run(*PYTEST, file.name, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert [line.split(" - ")[0] for line in failed] == [
        "FAILED test_mine.py::TestMine::test_keeps_the_rule[recorded_signatures_are_judged_right]",
        "FAILED test_mine.py::TestMine::test_keeps_the_rule[a_future_webhook_is_refused]",
    ]
    assert "rule:      A webhook that was signed for tomorrow is refused as from the future." in done.stdout
    assert "why:       A timestamp of next year makes a replay that never gets old" in done.stdout
    assert "sent:      a genuine webhook, signed one day after it is received" in done.stdout
    assert "came back: Accepted(proof='signature'" in done.stdout
    assert "mend:      answer Refused(reason=TIMESTAMP_IN_FUTURE)" in done.stdout
    assert "suite.py" not in done.stdout.partition("short test summary")[0]


def test_each_fixture_is_a_test_that_shows_only_what_differs(tmp_path: Path) -> None:
    file = author(tmp_path, CLASS.format(provider="BooksProvisionalMoney"))
    shutil.copy(FOLDER / "expected.json", tmp_path)
    expected = json.loads((tmp_path / "expected.json").read_bytes())
    expected["payment.paid__yen"]["events"][0]["amount"] = "65.21 JPY"
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    done = run(*PYTEST, file.name, "-k", "test_fixture", cwd=tmp_path)
    assert "2 failed" in done.stdout, done.stdout + done.stderr
    assert 'payment.paid__yen; expected [{"amount": "65.21 JPY"}]' in done.stdout
    assert 'came back: [{"amount": "6521 JPY"}]' in done.stdout
    assert 'payment.pending__bank_transfer; expected {"ignored": "not_final"}' in done.stdout


def test_a_fixture_without_an_expectation_says_how_it_is_written(tmp_path: Path) -> None:
    file = author(tmp_path, CLASS.format(provider="Varied"))
    done = run(*PYTEST, file.name, "-k", "test_fixture and yen", cwd=tmp_path)
    assert done.returncode == 1
    assert "for which expected.json says nothing" in done.stdout
    assert "python -m gateway.conformance" in done.stdout


def test_expectations_are_written_once_and_anew_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = author(tmp_path, CLASS.format(provider="Varied"))
    path = tmp_path / "expected.json"
    assert main([str(file)]) == 0
    assert "payment.paid__yen: written, read it before you commit it" in capsys.readouterr().out
    assert json.loads(path.read_bytes()) == json.loads((FOLDER / "expected.json").read_bytes())
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "payment.paid__yen": {"malformed": True}}))
    assert main([str(file)]) == 0
    assert capsys.readouterr().out == "expected.json knows every fixture\n"
    assert json.loads(path.read_bytes())["payment.paid__yen"] == {"malformed": True}
    assert main([str(file), "--all"]) == 0
    assert json.loads(path.read_bytes()) == json.loads((FOLDER / "expected.json").read_bytes())


def test_what_no_fixture_may_expect_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = CLASS.format(provider="Varied") + "\n    proof = 'none'\n    secrets_field = None\n"
    file = author(
        tmp_path,
        text.replace("plugin_of(Varied)", "plugin_of(Unsigned)").replace(
            "import plugin_of", "import Unsigned, plugin_of"
        ),
    )
    assert main([str(file)]) == 1
    assert "extract asked for GET /events, which payment.failed__declined.api.json does not answer" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "expected.json").exists()


@pytest.mark.parametrize(("name", "text"), [("nothing.py", None), ("empty.py", "x = 1\n")])
def test_a_file_without_a_test_class_is_a_usage_mistake(name: str, text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit):
        main([str(tmp_path / name)])


def test_a_class_that_lacks_its_plugin_says_so() -> None:
    class Mine(gateway.conformance.Conformance):
        pass

    with pytest.raises(TypeError, match="Mine must set plugin and config"):
        Mine.subject()


def test_a_class_that_names_no_fixtures_cannot_write_expectations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CLASS.format(provider="Varied").replace('    fixtures = "fixtures"\n', "")
    assert main([str(author(tmp_path, text))]) == 1
    assert "names no `fixtures` folder" in capsys.readouterr().err


def test_the_public_names_are_few_and_all_there() -> None:
    assert gateway.conformance.__all__ == ["Conformance", "Finding", "Subject", "examine", "quick"]
    assert all(getattr(gateway.conformance, name) for name in gateway.conformance.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        getattr(gateway.conformance, "nothing")  # noqa: B009 - the module's __getattr__ is what is asked


def test_without_pytest_the_class_says_what_is_missing_and_the_rest_works(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["pytest"] = None
import gateway.conformance
print(len(gateway.conformance.quick()) > 30)
try:
    gateway.conformance.Conformance
except ModuleNotFoundError as error:
    print(error)
"""
    done = run("-W", "error", "-c", code, cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "True",
        "gateway.conformance.Conformance is a pytest class and pytest is not installed: install it where you test",
    ], done.stderr
