"""`faurya-gateway work`: the worker alone."""

import asyncio

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, ConfigPath
from gateway.cli.output import redaction


def work(config: ConfigPath = CONFIG) -> None:
    """
    Book kept webhooks and deliver revenue, without HTTP; beside `serve --no-worker`, or to add hands.

    SIGTERM and SIGINT finish what is in hand and stop; SIGHUP reads the configuration again.
    """
    from gateway.app.event_loop import new_event_loop
    from gateway.app.serving import serve

    source, loaded = load(config)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(source, loaded, redaction(), with_worker=True, with_web=False))
