"""`faurya-gateway work`: the worker alone."""

from gateway.cli.loading import load
from gateway.cli.options import CONFIG, ConfigPath
from gateway.cli.output import redaction


def work(config: ConfigPath = CONFIG) -> None:
    """
    Book kept webhooks and deliver revenue, without HTTP; beside `serve --no-worker`, or to add hands.

    SIGTERM and SIGINT finish what is in hand and stop; SIGHUP reads the configuration again.
    """
    from gateway.app.event_loop import run, survive_early_hangup
    from gateway.app.serving import serve

    survive_early_hangup()
    source, loaded = load(config)
    run(serve(source, loaded, redaction(), with_worker=True, with_web=False))
