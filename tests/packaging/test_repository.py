"""What the tracked files must not hold, and what the workflows may do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

PINNED = re.compile(r"[\w-]+/[\w./-]+@[0-9a-f]{40}")

# Where packages come from is set on a machine, not here: every mirror has another address.
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|deb\.debian\.org|(extra-)?index[-_]url|find[-_]links|trusted[-_]host",
    re.IGNORECASE,
)
HOMES = re.compile(r"/(home|Users)/[a-z][\w.-]*/|/root/[\w.-]")


@pytest.fixture(scope="module")
def tracked(root: Path) -> dict[str, str]:
    """Every tracked text file by its path."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    present = [name for name in listed.stdout.split("\0") if name and (root / name).is_file()]
    return {name: (root / name).read_bytes().decode("utf-8", "replace") for name in present}


@pytest.fixture(params=["ci.yml"])
def workflow(request: pytest.FixtureRequest, root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(root / ".github" / "workflows" / request.param)
    return loaded


def lines_with(pattern: re.Pattern[str], tracked: dict[str, str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in tracked.items()
        if pattern.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_the_folder_of_this_checkout(root: Path, tracked: dict[str, str]) -> None:
    assert lines_with(re.compile(rf"(?<![\w.-]){re.escape(str(root))}(?![\w-])"), tracked) == []


def test_no_file_names_somebodys_home(tracked: dict[str, str]) -> None:
    assert lines_with(HOMES, tracked) == []


def test_no_file_names_a_package_registry(tracked: dict[str, str]) -> None:
    assert lines_with(REGISTRIES, tracked) == []


def test_no_file_of_secrets_is_tracked(tracked: dict[str, str]) -> None:
    assert [name for name in tracked if Path(name).name == ".env"] == []


def test_every_workflow_is_tested_here(root: Path) -> None:
    assert [path.name for path in (root / ".github" / "workflows").iterdir()] == ["ci.yml"]


def test_a_workflow_has_no_rights_but_those_of_its_jobs(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in workflow["jobs"].values())


def test_a_workflow_uses_actions_by_their_full_hash(workflow: dict[str, Any]) -> None:
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [action for action in used if not PINNED.fullmatch(action)] == []


def test_a_workflow_keeps_no_credentials_in_the_checkout(workflow: dict[str, Any]) -> None:
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"] == {"persist-credentials": False} for step in checkouts)
