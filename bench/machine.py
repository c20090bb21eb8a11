"""What the figures were measured on."""

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path


def describe(settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the machine's and the database's description; no name and no path of the machine is in it."""
    return {
        "cores": str(os.cpu_count()),
        "processor": model_of(_read("/proc/cpuinfo")) or platform.processor() or platform.machine(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system of the data": file_system(_read("/proc/mounts"), str(folder)),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Node": _said("node", "--version"),
        "Postgres": settings["server_version"],
        **{name: value for name, value in settings.items() if name != "server_version"},
    }


def model_of(cpuinfo: str) -> str:
    """Return the processor's name out of /proc/cpuinfo."""
    names = [line.partition(":")[2].strip() for line in cpuinfo.splitlines() if line.startswith("model name")]
    return names[0] if names else ""


def file_system(mounts: str, path: str) -> str:
    """Return the kind of file system that a path lies on, out of /proc/mounts."""
    best, kind = "", "unknown"
    for line in mounts.splitlines():
        _, point, found = line.split(" ")[:3]
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _said(*command: str) -> str:
    if not shutil.which(command[0]):
        return "none"
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
