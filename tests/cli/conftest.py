"""Folders to run commands in."""

from pathlib import Path

import pytest
from harness import free_port

from tests.cli.commands import CONFIG, Folder


@pytest.fixture(name="bare")
def _bare(tmp_path: Path) -> Folder:
    """A folder whose database is not there."""
    folder = Folder(tmp_path, free_port())
    folder.config.write_text(CONFIG.format(port=folder.port, database="postgresql://127.0.0.1:9/nothing"))
    return folder


@pytest.fixture(name="folder")
def _folder(tmp_path: Path, database_url: str) -> Folder:
    """A folder whose database has the schema."""
    folder = Folder(tmp_path, free_port())
    folder.config.write_text(CONFIG.format(port=folder.port, database=database_url))
    return folder
