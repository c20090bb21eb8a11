"""The Prometheus metrics."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

disable_created_metrics()  # type: ignore[no-untyped-call]  # else every counter has a second, undocumented series

ACCEPT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5)
"""Seconds. Paddle gives up after 5."""

DELIVERY_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds. Our own timeout is 10."""

WEBHOOKS = (
    "Webhooks by outcome. Accepting: received (new, kept), repeat (kept before), not_kept (answered 503). "
    "Reading: booked, ignored, unreadable (each time a kept webhook is read to the end)"
)


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


class _Counter(Counter):
    def labels(self, *values: str) -> "_Counter":  # type: ignore[override]
        """Return the series of these values; one that is there is found without a lock and without text made of it."""
        found: _Counter | None = self._metrics.get(values)  # type: ignore[assignment]
        return super().labels(*values) if found is None else found


class Metrics:
    """The Prometheus metrics. With several processes (PROMETHEUS_MULTIPROC_DIR set) they are added up at the scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        connection = ["site", "connection"]
        self.webhooks = _Counter("gateway_webhooks", WEBHOOKS, [*connection, "outcome"], registry=own)
        self.webhook_seconds = Histogram(
            "gateway_webhook_seconds", "From the request's head to the answer", buckets=ACCEPT_BUCKETS, registry=own
        )
        self.refused = _Counter(
            "gateway_refused", "Requests refused: not proven, or a body that was not read", [*connection, "reason"],
            registry=own,
        )  # fmt: skip
        self.deliveries = _Counter(
            "gateway_deliveries", "Attempts by what they came to", ["site", "status"], registry=own
        )
        self.delivery_seconds = Histogram(
            "gateway_delivery_seconds", "One call of Faurya", buckets=DELIVERY_BUCKETS, registry=own
        )
        self.checkouts = _Counter("gateway_checkouts", "Checkouts by outcome", ["site", "outcome"], registry=own)
        self.swept = _Counter(
            "gateway_swept", "Movements in the provider's list, by what they are", [*connection, "result"], registry=own
        )
        self.plugin_failures = _Counter(
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
