"""Results of one run stay when another run makes other benches."""

from pathlib import Path

import orjson
import pytest

from bench.__main__ import arguments, form_of
from bench.report import RAW, Failed, Run, Section, write

ORDER = ("accept", "burst", "memory")
FIRST = Run(form="whole", day="2026-01-01", machine={"cores": "2"})
SECOND = Run(form="the quick form", day="2026-01-02", machine={"cores": "2"})


def section(name: str, text: str) -> Section:
    return Section(name=name, title=name.title(), text=text, plots={f"{name}.svg": f"<svg>{text}"}, figures=[text])


def written(folder: Path) -> str:
    return (folder / "results.md").read_text()


def test_a_run_of_one_bench_leaves_the_results_of_the_others(tmp_path: Path) -> None:
    write(tmp_path, FIRST, [section("memory", "100 MB"), section("accept", "9/s")], [], ORDER)
    write(tmp_path, SECOND, [section("burst", "none lost"), section("accept", "10/s")], [Failed("memory", "!")], ORDER)
    page = written(tmp_path)
    assert page.index("## Accept") < page.index("## Burst") < page.index("## Memory")
    assert "Run of 2026-01-01, whole.\n\n100 MB" in page
    assert "Run of 2026-01-02, the quick form.\n\n10/s" in page
    assert "9/s" not in page
    assert "![memory](memory.svg)" in page
    assert "**memory was not finished:** !" in page
    assert (tmp_path / "accept.svg").read_text() == "<svg>10/s"
    assert {name: each["figures"] for name, each in orjson.loads((tmp_path / RAW).read_bytes()).items()} == {
        "accept": ["10/s"],
        "burst": ["none lost"],
        "memory": ["100 MB"],
    }


def test_a_result_of_another_machine_says_so(tmp_path: Path) -> None:
    write(tmp_path, FIRST, [section("memory", "100 MB")], [], ORDER)
    elsewhere = Run(form="whole", day="2026-01-02", machine={"cores": "64"})
    write(tmp_path, elsewhere, [section("accept", "9/s")], [], ORDER)
    assert "Run of 2026-01-01, whole, on another machine or other settings (see results.json)." in written(tmp_path)
    assert "Run of 2026-01-02, whole.\n" in written(tmp_path)


@pytest.mark.parametrize("before", [b'{"machine": {"cores": "2"}, "accept": {"rounds": []}}', b'{"accept": {"te', b""])
def test_results_of_another_form_are_left_behind(tmp_path: Path, before: bytes) -> None:
    (tmp_path / RAW).write_bytes(before)
    write(tmp_path, FIRST, [section("memory", "100 MB")], [], ORDER)
    assert list(orjson.loads((tmp_path / RAW).read_bytes())) == ["memory"]


def test_the_form_of_a_run_names_what_was_asked_for_otherwise() -> None:
    assert form_of(arguments([])) == "whole"
    assert form_of(arguments(["burst", "--burst-seconds", "8"])) == "whole, burst seconds 8.0"
    assert form_of(arguments(["--hour", "--rounds", "1", "--ten-million"])) == (
        "the form that fits into an hour, rounds 1, with ten million rows"
    )
