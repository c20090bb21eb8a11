"""What a call reached for is seen, whatever name it was imported under."""

import hmac
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from time import time as the_time

import pytest
import structlog

from gateway.conformance.traps import watched


class Later(datetime):
    """A date of somebody's own."""


@pytest.mark.parametrize(
    "read",
    [
        lambda: datetime.now(UTC),
        lambda: Later.now(UTC),
        datetime.now,
        date.today,
        time.time,
        the_time,
        time.time_ns,
        time.localtime,
    ],
)
def test_a_clock_is_seen(read: Callable[[], object]) -> None:
    with watched() as sprung:
        read()
    assert len(sprung.clocks) == 1
    assert (sprung.touches, sprung.sleeps, sprung.environment) == ([], [], [])


@pytest.mark.parametrize(
    "harmless",
    [
        lambda: datetime.fromtimestamp(1, UTC),
        lambda: datetime.fromisoformat("2026-09-01"),
        time.perf_counter,
        time.monotonic,
        lambda: logging.getLogger("x").warning("a log line has a time"),
        lambda: structlog.get_logger().info("so has this"),
    ],
)
def test_measuring_parsing_and_logging_are_no_clock(harmless: Callable[[], object]) -> None:
    with watched() as sprung:
        harmless()
    assert sprung.clocks == []


def _connect() -> None:
    with socket.socket() as probe:
        probe.connect_ex(("127.0.0.1", 9))


@pytest.mark.parametrize(
    ("reach", "seen"),
    [
        (_connect, "socket.connect ('127.0.0.1', 9)"),
        (lambda: socket.getaddrinfo("localhost", 1), "socket.getaddrinfo"),
        (lambda: subprocess.run(["true"], check=True), "subprocess.Popen"),
        (lambda: Path(__file__).open().close(), "open() at "),
    ],
)
def test_reaching_out_is_seen(reach: Callable[[], object], seen: str) -> None:
    with watched() as sprung:
        reach()
    assert any(touch.startswith(seen) for touch in sprung.touches), sprung.touches


def test_an_import_is_no_reaching_out() -> None:
    sys.modules.pop("this_is_not_there", None)
    with watched() as sprung, pytest.raises(ModuleNotFoundError):
        __import__("this_is_not_there")
    assert sprung.touches == []


def test_sleeping_the_environment_and_comparing_are_seen() -> None:
    with watched() as sprung:
        time.sleep(0)
        os.environ.get("HOME")
        os.getenv("HOME")
        hmac.compare_digest(b"a", b"b")
    assert len(sprung.sleeps) == 1
    assert "test_traps.py" in sprung.sleeps[0]
    assert len(sprung.environment) >= 2
    assert sprung.comparisons == 1


def test_nothing_is_seen_before_and_after_and_another_profiler_comes_back() -> None:
    def profiler(*_: object) -> None:
        return None

    before = sys.getprofile()
    sys.setprofile(profiler)
    try:
        with watched() as sprung:
            pass
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(before)
    _connect()
    assert sprung.touches == []
