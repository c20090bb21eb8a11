"""Ports that the system does not hand out to others meanwhile."""

import contextlib
import secrets
import socket


def free_port() -> int:
    """Return a free port below those that the system hands out."""
    while True:
        port = secrets.choice(range(10_000, 32_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
