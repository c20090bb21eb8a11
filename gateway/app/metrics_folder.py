"""The folder in which several processes keep their numbers. This module must not import prometheus_client."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def metrics_folder() -> Iterator[None]:
    """
    Let prometheus_client add up the numbers of all processes, in a fresh folder that only this user can read.

    It looks once, when it is imported, so this comes first.
    """
    if "prometheus_client" in sys.modules:
        raise RuntimeError("prometheus_client is imported already; it would not see the folder")
    with TemporaryDirectory(prefix="faurya-gateway-metrics-", ignore_cleanup_errors=True) as folder:
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            del os.environ[VARIABLE]
