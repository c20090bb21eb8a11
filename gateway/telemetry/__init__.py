"""Logs and metrics. Secrets are taken out of every log line, whoever wrote it."""

from gateway.telemetry.logs import configure_logging, log
from gateway.telemetry.metrics import Backlog, Metrics
from gateway.telemetry.redaction import HIDDEN, Redaction

__all__ = ["HIDDEN", "Backlog", "Metrics", "Redaction", "configure_logging", "log"]
