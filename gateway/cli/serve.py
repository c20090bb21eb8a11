"""`faurya-gateway serve`: HTTP and the worker."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, ConfigPath
from gateway.cli.output import redaction

Host = Annotated[str | None, typer.Option(help="Listen here instead of at server.host.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Listen here instead of at server.port.")]
Processes = Annotated[int, typer.Option(min=1, max=256, help="Processes; each has its own worker and database pool.")]
NoWorker = Annotated[bool, typer.Option("--no-worker", help="Only HTTP; `work` then runs elsewhere.")]


def serve(
    config: ConfigPath = CONFIG,
    host: Host = None,
    port: Port = None,
    processes: Processes = 1,
    no_worker: NoWorker = False,
) -> None:
    """
    Serve webhooks and checkouts over HTTP and, unless --no-worker, book and deliver.

    SIGTERM and SIGINT finish what is in hand and stop; SIGHUP reads the configuration again.
    """
    from gateway.app.event_loop import survive_early_hangup

    survive_early_hangup()
    if processes == 1:
        _in_one(config, host, port, with_worker=not no_worker)
    else:
        raise typer.Exit(_in_several(config, host, port, processes, with_worker=not no_worker))


def _in_one(path: Path, host: str | None, port: int | None, *, with_worker: bool) -> None:
    from gateway.app.event_loop import run
    from gateway.app.serving import serve as serve_here

    source, config = load(path, host=host, port=port)
    run(serve_here(source, config, redaction(), with_worker=with_worker))


def _in_several(path: Path, host: str | None, port: int | None, processes: int, *, with_worker: bool) -> int:
    from gateway.app.metrics_folder import metrics_folder

    with metrics_folder():
        from gateway.app.processes import serve as serve_in_processes

        source, config = load(path, host=host, port=port)
        return serve_in_processes(source, config, redaction(), processes=processes, with_worker=with_worker)
