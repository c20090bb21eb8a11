"""Logs and metrics. Secrets are taken out of every log line, whoever wrote it."""

import json
import logging
import os
import sys
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
import structlog
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

HIDDEN = "***"

disable_created_metrics()  # type: ignore[no-untyped-call]  # else every counter has a second, undocumented series

ACCEPT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
"""Seconds. Paddle gives up after 5."""

DELIVERY_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds. Our own timeout is 10."""


WEBHOOKS = (
    "Webhooks by outcome. Accepting: received (new, kept), repeat (kept before), not_kept (answered 503). "
    "Reading: booked, ignored, unreadable (each time a kept webhook is read to the end)"
)


@dataclass(slots=True)
class Redaction:
    """A structlog processor that replaces known secret values wherever they turn up in a log line."""

    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the event without secrets."""
        for key, value in event.items():
            event[key] = self.clean(value)
        return event

    def clean(self, value: Any) -> Any:
        """Return `value` with every secret replaced; containers are searched."""
        if isinstance(value, str):
            for secret in _longest_first(self.secrets):
                value = value.replace(secret, HIDDEN)
            return value
        if isinstance(value, dict):
            return {self.clean(key): self.clean(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.clean(item) for item in value]
        return value if isinstance(value, (int, float, bool, type(None))) else self.clean(str(value))

    def as_json(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
        """
        Return the event as one line of JSON without secrets.

        Nearly no line holds one, so the whole line is looked at once, and only one that seems to is searched value by
        value. A webhook's line costs 17 µs so, and cost 62 µs when each value was searched and rendered in Python.
        """
        try:
            line = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS)
        except TypeError:  # a lone surrogate, or a number of more than 64 bits
            return json.dumps(self.clean(event), default=str).encode()
        if any(secret in line for secret in _as_written(self.secrets)):
            return orjson.dumps(self.clean(event), default=str, option=orjson.OPT_NON_STR_KEYS)
        return line


@lru_cache(maxsize=2)
def _as_written(secrets: frozenset[str]) -> tuple[bytes, ...]:
    """Return the secrets as they stand inside a JSON string."""
    return tuple(orjson.dumps(secret)[1:-1] for secret in secrets)


@lru_cache(maxsize=2)
def _longest_first(secrets: frozenset[str]) -> tuple[str, ...]:
    """Return the order of replacing: a secret may be the beginning of another."""
    return tuple(sorted(secrets, key=len, reverse=True))


def configure_logging(redaction: Redaction, *, as_json: bool | None = None) -> None:
    """Send every log line to stderr: JSON off a terminal, pretty on one. Other libraries' warnings come along."""
    if as_json is None:
        as_json = not sys.stderr.isatty()
    named: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    to_text: list[Any] = [
        redaction,
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(),
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=named, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *to_text]
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("aiohttp.server").addFilter(_quiet_about_nonsense)
    for noisy in ("aiohttp.access", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*named, redaction.as_json] if as_json else [*named, *to_text],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=(
            structlog.BytesLoggerFactory(sys.stderr.buffer) if as_json else structlog.PrintLoggerFactory(sys.stderr)
        ),
        cache_logger_on_first_use=False,
    )


def _quiet_about_nonsense(record: logging.LogRecord) -> bool:
    """
    Turn the server's error about bytes that are not HTTP into one calm line: they are anybody's, and it quotes them.

    The quote may hold a signature header, which is never logged.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args, record.exc_info = "not HTTP: %s", (type(error).__name__,), None
    return True


@dataclass(slots=True)
class _Logger:
    """The logger, bound once for a configuration: structlog's own stand-in binds a new one for every line."""

    made_for: tuple[object, object] = (None, None)
    bound: Any = None

    def __call__(self) -> Any:
        config = structlog.get_config()
        processors, factory = config["processors"], config["logger_factory"]
        if self.made_for[0] is not processors or self.made_for[1] is not factory:
            self.bound = structlog.get_logger("gateway").bind()
            self.made_for = processors, factory
        return self.bound


_logger = _Logger()


def log() -> Any:
    """Return the logger. Its first argument is a fixed event name, the rest are fields."""
    return _logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the database says at the moment of a scrape, so that it is right with any number of processes."""

    oldest_due_seconds: tuple[tuple[str, float], ...] = ()
    outbox_due: tuple[tuple[str, int], ...] = ()
    held: tuple[tuple[str, bool], ...] = ()
    last_webhook: tuple[tuple[str, str, float], ...] = ()
    last_sweep: tuple[tuple[str, str, float], ...] = ()


class _BacklogCollector(Collector):
    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def collect(self) -> Iterable[GaugeMetricFamily]:
        oldest = GaugeMetricFamily("gateway_oldest_due_seconds", "How long the oldest due work waits", labels=["site"])
        due = GaugeMetricFamily("gateway_outbox_due", "Deliveries that are due now", labels=["site"])
        held = GaugeMetricFamily("gateway_site_held", "1 while the site's deliveries are on hold", labels=["site"])
        last = GaugeMetricFamily(
            "gateway_last_webhook_timestamp_seconds", "When the last webhook was kept", labels=["site", "connection"]
        )
        swept = GaugeMetricFamily(
            "gateway_last_sweep_timestamp_seconds",
            "When the provider's list was last read to its end",
            labels=["site", "connection"],
        )
        for site, seconds in self._backlog.oldest_due_seconds:
            oldest.add_metric([site], seconds)
        for site, count in self._backlog.outbox_due:
            due.add_metric([site], count)
        for site, on in self._backlog.held:
            held.add_metric([site], float(on))
        for site, connection, at in self._backlog.last_webhook:
            last.add_metric([site, connection], at)
        for site, connection, at in self._backlog.last_sweep:
            swept.add_metric([site, connection], at)
        return [oldest, due, held, last, swept]


class Metrics:
    """The Prometheus metrics. With several processes (PROMETHEUS_MULTIPROC_DIR set) they are added up at the scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        connection = ["site", "connection"]
        self.webhooks = Counter("gateway_webhooks", WEBHOOKS, [*connection, "outcome"], registry=own)
        self.webhook_seconds = Histogram(
            "gateway_webhook_seconds", "From the request's head to the answer", buckets=ACCEPT_BUCKETS, registry=own
        )
        self.refused = Counter(
            "gateway_refused", "Requests refused: not proven, or a body that was not read", [*connection, "reason"],
            registry=own,
        )  # fmt: skip
        self.deliveries = Counter(
            "gateway_deliveries", "Attempts by what they came to", ["site", "status"], registry=own
        )
        self.delivery_seconds = Histogram(
            "gateway_delivery_seconds", "One call of Faurya", buckets=DELIVERY_BUCKETS, registry=own
        )
        self.checkouts = Counter("gateway_checkouts", "Checkouts by outcome", ["site", "outcome"], registry=own)
        self.swept = Counter(
            "gateway_swept", "Movements in the provider's list, by what they are", [*connection, "result"], registry=own
        )
        self.plugin_failures = Counter(
            "gateway_plugin_failures", "Plugin calls that failed", ["plugin", "call"], registry=own
        )

    def expose(self, backlog: Backlog) -> bytes:
        """Return everything in Prometheus' text format."""
        scrape = CollectorRegistry()
        scrape.register(_BacklogCollector(backlog))
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            MultiProcessCollector(scrape)  # type: ignore[no-untyped-call]
            return generate_latest(scrape)
        return generate_latest(self._registry) + generate_latest(scrape)
