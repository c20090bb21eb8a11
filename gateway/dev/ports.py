"""Ports for the demo: friendly ones where they are free, any other where not."""

import socket

HOST = "127.0.0.1"


def take(preferred: int) -> socket.socket:
    """
    Return a socket that already listens on `preferred`, or on a free port where that one is busy or not allowed.

    Taken before anything is served, so that every part can be told the addresses of all others. 0 asks for a free port.
    """
    try:
        return _listening(preferred)
    except OSError:
        return _listening(0)


def address_of(taken: socket.socket) -> str:
    """Return the address at which the socket is reached, without a slash at the end."""
    return f"http://{HOST}:{taken.getsockname()[1]}"


def _listening(port: int) -> socket.socket:
    taken = socket.socket()
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, port))
        taken.listen(128)
        taken.setblocking(False)
    except OSError:
        taken.close()
        raise
    return taken
