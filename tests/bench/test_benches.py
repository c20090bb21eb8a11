"""The smallest form of every bench, so that none of them rots; its figures mean nothing."""

from importlib import import_module
from pathlib import Path

import pytest

from bench.__main__ import BENCHES
from bench.place import Place
from bench.scale import TINY


@pytest.mark.parametrize("name", BENCHES)
async def test_every_bench_runs(name: str, server_url: str, tmp_path: Path) -> None:
    section = await import_module(f"bench.{name}").run(Place(tmp_path, server_url, postmaster=0, scale=TINY))
    assert section.name == name
    assert "|" in section.text
    assert all(plot.startswith("<svg") for plot in section.plots.values())
