"""
Booby traps: what a call reached for while it was watched.

Calls into C are seen by the profiler hook whatever name they were imported under, so a `from time import time` does not
escape; files, sockets and processes are seen by an audit hook, also those that a library opens. Nothing is replaced.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from types import FrameType
from typing import Any

CLOCKS = frozenset({"time", "time_ns", "localtime", "gmtime", "ctime", "asctime", "clock_gettime", "clock_gettime_ns"})
"""Functions of `time` that tell the hour. `perf_counter` and `monotonic` only measure."""

OF_A_DATE = frozenset({"now", "utcnow", "today"})

TOUCHES = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.sendto",
    "socket.gethostbyname",
    "subprocess.Popen",
    "os.system",
)
"""Audit events of reaching out; `open` is one too, but imports open files, which is nobody's fault."""

LOGGING = ("logging", "structlog")
"""A log line carries the time, and that is no use of the clock."""

_COMPARING = frozenset({"compare_digest", "_compare_digest"})
_ENVIRONMENT = frozenset({"__getitem__", "getenv"})


@dataclass(slots=True)
class Sprung:
    """What was reached for: one line each."""

    clocks: list[str] = field(default_factory=list)
    touches: list[str] = field(default_factory=list)
    sleeps: list[str] = field(default_factory=list)
    environment: list[str] = field(default_factory=list)
    comparisons: int = 0


_watching: list[Sprung] = []
_hooked: list[bool] = []


@contextmanager
def watched() -> Iterator[Sprung]:
    """Watch this thread (and, for sockets and processes, all of them) until the block ends."""
    if not _hooked:
        sys.addaudithook(_audited)  # for the life of the process; it looks at `_watching` first
        _hooked.append(True)
    sprung = Sprung()
    before = sys.getprofile()
    _watching.append(sprung)
    sys.setprofile(lambda frame, event, subject: _profiled(sprung, frame, event, subject))
    try:
        yield sprung
    finally:
        sys.setprofile(before)
        _watching.remove(sprung)


def _audited(event: str, details: tuple[Any, ...]) -> None:
    if _watching and event in TOUCHES:
        where = repr(details[1]) if event == "socket.connect" and len(details) > 1 else ""
        _watching[-1].touches.append(f"{event} {where}".strip())


def _profiled(sprung: Sprung, frame: FrameType, event: str, subject: Any) -> None:
    if event == "call":
        code = frame.f_code
        if code.co_name in _ENVIRONMENT and frame.f_globals.get("__name__") == "os":
            sprung.environment.append(_place(frame.f_back))
    elif event == "c_call":
        _c_call(sprung, frame, subject)


def _c_call(sprung: Sprung, frame: FrameType, function: Any) -> None:
    name, module, owner = function.__name__, getattr(function, "__module__", None), getattr(function, "__self__", None)
    if name in _COMPARING:
        sprung.comparisons += 1
    elif module == "time" and name == "sleep":
        sprung.sleeps.append(_place(frame))
    elif (module == "time" and name in CLOCKS) or (name in OF_A_DATE and _is_date(owner)):
        if not _is_logging(frame):
            sprung.clocks.append(f"{name}() {_place(frame)}")
    elif module == "io" and name == "open" and not _is_importing(frame):
        sprung.touches.append(f"open() {_place(frame)}")


def _is_date(owner: object) -> bool:
    return isinstance(owner, type) and issubclass(owner, date)


def _is_logging(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in LOGGING


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def _place(frame: FrameType | None) -> str:
    """Name the nearest line outside the standard library's frozen modules."""
    while frame is not None and frame.f_code.co_filename.startswith("<"):
        frame = frame.f_back
    if frame is None:
        return ""
    file = "/".join(frame.f_code.co_filename.replace("\\", "/").rsplit("/", 2)[-2:])
    return f"at {file}:{frame.f_lineno}"
