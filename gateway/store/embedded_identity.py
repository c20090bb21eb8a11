"""Who the embedded Postgres runs as.

Postgres refuses to run as root, so root's keeper becomes the owner of the data folder first. That user may be unable
to walk through a closed folder above the data or the binaries (/root is 0700). Nothing outside our own folder gets
other rights for this; instead the process keeps one capability across the change of user, and only where it is needed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from gateway.store.embedded_errors import EmbeddedFolderError, EmbeddedStartError
from gateway.store.embedded_folder import Folder

# numbers from linux/capability.h and linux/prctl.h
DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2
_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, _KEEP_CAPS = 28, 1 << 2, 1 << 4
_CAPABILITY_VERSION_3 = 0x20080522

# READ_SEARCH only reads; a container's root often lacks it and has OVERRIDE
_ATTEMPTS = (None, DAC_READ_SEARCH, DAC_OVERRIDE) if sys.platform == "linux" else (None,)

_libc = ctypes.CDLL(None, use_errno=True)


def settle(folder: Folder, binaries: Path) -> None:
    """Makes this process the server's user for good, with the least right that lets Postgres run. No-op unless root."""
    if os.geteuid() != 0:
        return
    for capability in _ATTEMPTS:
        if _runs(folder, binaries, capability):
            become(folder.uid, folder.gid, capability)
            return
    try:
        become(folder.uid, folder.gid)
    except OSError as error:
        raise EmbeddedStartError(
            "Postgres refuses to run as root, and this root may not change its user"
            f" ({error.strerror}; CAP_SETUID and CAP_SETGID): run the gateway as a normal user"
        ) from error
    raise EmbeddedFolderError(
        f"Postgres refuses to run as root, and user id {folder.uid} cannot reach {folder.path} or {binaries}: a folder"
        " above is closed to others. Move the data folder and the installation out of it, run the gateway as a normal"
        " user, or allow the container CAP_DAC_READ_SEARCH"
    )


def become(uid: int, gid: int, capability: int | None = None) -> None:
    """Changes user and group for good; the capability, if any, is kept here and in every program started from here."""
    if capability is not None:
        _prctl(_PR_SET_KEEPCAPS, 1)
        # else access(2), with which initdb looks for its own program, would not count the capability
        with contextlib.suppress(OSError):
            _prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP | _KEEP_CAPS)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is not None:
        bit = 1 << capability
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable; low, then high bits
        _check(_libc.capset(header, sets))
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def end_with_parent(number: signal.Signals) -> None:
    """Asks the kernel to send this process a signal when its parent dies; for `preexec_fn`. Linux only, else no-op."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, number)


def _runs(folder: Folder, binaries: Path, capability: int | None) -> bool:
    """Tried, not computed: access lists, mounts and security modules all have a say. The keeper has no threads."""
    try:
        done = subprocess.run(
            [binaries / "postgres", "--version"],
            preexec_fn=partial(_become_and_look, folder, capability),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _become_and_look(folder: Folder, capability: int | None) -> None:
    become(folder.uid, folder.gid, capability)
    list(folder.path.iterdir())


def _prctl(option: int, *values: int) -> None:
    padded = (*values, 0, 0, 0, 0)[:4]
    _check(_libc.prctl(option, *(ctypes.c_ulong(value) for value in padded)))


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
