"""What a command says when it fails: one table from error to sentence and exit code, and never a bare traceback."""

import errno
import os
import traceback

from gateway.cli.output import complain

DEBUG = "FAURYA_GATEWAY_DEBUG"
"""Set to anything, this environment variable adds the traceback to an unexpected error."""

PROBLEM, USAGE = 1, 2

LISTENING = {
    errno.EADDRINUSE: "stop what listens there, or choose another port",
    errno.EADDRNOTAVAIL: "server.host is not an address of this machine",
    errno.EACCES: "this user may not listen there: choose a port above 1023",
}


def report(error: Exception) -> int:
    """Tell of an error on stderr; return the exit code."""
    text, code = explained(error)
    complain(text)
    if os.environ.get(DEBUG):
        complain("".join(traceback.format_exception(error)))
    return code


def explained(error: Exception) -> tuple[str, int]:
    """Return the sentence and the exit code of an error."""
    from gateway.config import ConfigError, PluginUnknown
    from gateway.store.embedded import EmbeddedError
    from gateway.store.errors import StoreError, StoreUnavailable

    match error:
        case ConfigError():
            return str(error), USAGE
        case PluginUnknown():
            return f"error: {error}", USAGE
        case StoreUnavailable():
            return f"error: {error}: check that it runs, and database.url", PROBLEM
        case StoreError() | EmbeddedError():
            return f"error: {error}", PROBLEM
        case OSError(errno=number) if number in LISTENING:
            return f"error: cannot listen: {error.strerror or error}: {LISTENING[number]}", PROBLEM
    hint = "" if os.environ.get(DEBUG) else f"; {DEBUG}=1 shows where"
    return f"error: unexpected {type(error).__name__}{hint}", PROBLEM  # its text may quote a secret
