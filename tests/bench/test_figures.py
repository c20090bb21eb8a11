"""The arithmetic and the drawings of the benches."""

import os
from math import isnan
from xml.etree import ElementTree as ET

import pytest

from bench import svg, tables
from bench.__main__ import arguments, scale_of
from bench.bodies import Requests, Target, unique
from bench.children import Stat, cpu_seconds, family, resident_bytes, stat_of
from bench.figures import median, per_webhook, percentile, ratio
from bench.handlers.checking import is_genuine
from bench.load import content_length, poisson
from bench.machine import describe, file_system, model_of
from bench.plans import Explained, Read, Statement, complaints, complaints_about_reads
from bench.samples import template


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.95, 0.999, 1.0)] == [1, 50, 95, 100, 100]
    assert isnan(percentile([], 0.5))
    assert isnan(median([]))


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    assert ratio([2, 9, 6], [1, 3, 3]) == 2
    assert isnan(ratio([1], [0]))
    assert per_webhook(0.5, 1000) == 500


def test_arrivals_come_at_the_rate_and_are_the_same_for_everybody() -> None:
    moments = poisson(1000, 2, 4, seed=7)
    assert moments == poisson(1000, 2, 4, seed=7) != poisson(1000, 2, 4, seed=8)
    assert all(2 < moment < 4 for moment in moments)
    assert 1800 < len(moments) < 2200
    assert moments == sorted(moments)


def test_requests_are_distinct_genuine_and_as_long_as_they_say() -> None:
    requests = Requests(Target("127.0.0.1", 80, "/webhooks/acme/paddle", "key"), "run", template())
    head, _, body = requests(5, 1_700_000_000).partition(b"\r\n\r\n")
    assert content_length(head) == len(body)
    assert 4000 < len(body) < 5000
    assert unique("run", 5).encode() in body
    assert requests.body(5) != requests.body(6)
    assert head.endswith(b"h1=" + head[-64:])
    assert not is_genuine(head.rpartition(b": ")[2].decode(), body, b"key"), "it is too old by now"


def test_cpu_time_is_that_of_a_process_and_all_its_descendants() -> None:
    line = "7 (odd) name) S 3 7 7 0 -1 4194560 1 1 0 0 10 20 30 40 20 0 1 0 5 0 0"
    assert stat_of(line) == Stat(parent=3, ticks=100)
    processes = {1: Stat(0, 1), 2: Stat(1, 1), 3: Stat(2, 1), 9: Stat(0, 1)}
    assert family(processes, [1, 77]) == {1, 2, 3}
    assert cpu_seconds([os.getpid()]) > 0
    assert resident_bytes([os.getpid()]) > 1_000_000


def test_the_machine_is_described_without_its_name() -> None:
    assert model_of("processor : 0\nmodel name : Some CPU\nmodel name : Some CPU\n") == "Some CPU"
    assert model_of("") == ""
    mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/disk xfs rw 0 0\n"
    assert [file_system(mounts, path) for path in ("/home", "/tmp/x", "/tmp/disk/x")] == ["ext4", "tmpfs", "xfs"]
    assert os.uname().nodename not in describe({"server_version": "18"}, template.__code__.co_filename).values()


def test_tables_are_markdown() -> None:
    assert tables.markdown(["a", "b"], [["x", "1"]]) == "| a | b |\n|---|---:|\n| x | 1 |\n"
    assert [tables.figure(value) for value in (1234.5, 12.34, 1.234, float("nan"))] == ["1,234", "12.3", "1.23", "-"]
    assert [tables.times(1.5), tables.times(float("nan")), tables.megabytes(2e6)] == ["1.50 x", "-", "2.0 MB"]


@pytest.mark.parametrize(
    "drawing",
    [
        svg.bars("a < b", {"one & two": 5, "none": float("nan"), "much": 5000}),
        svg.bars("nothing", {}),
        svg.lines("c", ["p50", "p99"], {"a": [1, 90], "b": [0.5, 0]}, unit=" ms"),
        svg.lines("nothing", [], {}),
    ],
)
def test_plots_are_well_formed(drawing: str) -> None:
    assert ET.fromstring(drawing).tag.endswith("svg")


def test_the_command_line_changes_the_scale() -> None:
    asked = arguments(["burst", "--quick", "--rounds", "2", "--burst-seconds", "9", "--memory", "77", "--ten-million"])
    scale = scale_of(asked)
    assert asked.benches == ["burst"]
    assert (scale.rounds, scale.burst_seconds, scale.memory_webhooks[1], scale.history[-1]) == (2, 9, 77, 10_000_000)
    assert scale_of(arguments([])).with_express
    assert not scale_of(arguments(["--without-express"])).with_express


PLANNED = Statement("somewhere", "SELECT 1", ())


def node(kind: str, rows: int, **more: object) -> dict[str, object]:
    return {"Node Type": kind, "Actual Rows": rows, "Actual Loops": 1, **more}


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (node("Index Scan", 5, **{"Relation Name": "inbox"}), []),
        (node("Seq Scan", 5, **{"Relation Name": "inbox"}), ["somewhere: inbox is read from end to end"]),
        (node("Seq Scan", 5, **{"Relation Name": "holds"}), []),
        (node("Limit", 5, Plans=[node("Sort", 500)]), ["somewhere: Sort goes through 500 rows"]),
        (
            node("Index Scan", 5, **{"Relation Name": "inbox", "Index Name": "due", "Rows Removed by Filter": 400}),
            ["somewhere: Index Scan due goes through 405 rows"],
        ),
    ],
)
def test_a_plan_that_does_not_stay_flat_is_named(plan: dict[str, object], said: list[str]) -> None:
    assert complaints(Explained(PLANNED, plan), ["inbox"], most=100) == said


def test_reading_without_an_index_is_named() -> None:
    found = [Read("inbox", 7, 0), Read("ledger", 0, 50), Read("holds", 9, 0)]
    assert complaints_about_reads(PLANNED, found, ["inbox", "ledger"], most=100) == [
        "somewhere, generic plan: 7 rows of inbox read by scanning, 0 by index"
    ]
