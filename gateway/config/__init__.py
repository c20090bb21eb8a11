"""The configuration: its files, what they may say, and every mistake in them at once."""

from gateway.config.checks import refuse_embedded
from gateway.config.loading import load
from gateway.config.mistakes import ConfigError, Mistake, PluginUnknown
from gateway.config.models import (
    Amount,
    Booking,
    Config,
    Connection,
    Database,
    Item,
    Limits,
    Payments,
    Plan,
    Plugins,
    Quantity,
    Retention,
    Retry,
    Revenue,
    Server,
    Site,
    SiteCheckout,
    Sweep,
    Worker,
)
from gateway.config.reload import restart_needed
from gateway.config.schema import schema
from gateway.config.secrets import secret_values, secrets_in
from gateway.config.sites import PluginModels

__all__ = [
    "Amount",
    "Booking",
    "Config",
    "ConfigError",
    "Connection",
    "Database",
    "Item",
    "Limits",
    "Mistake",
    "Payments",
    "Plan",
    "PluginModels",
    "PluginUnknown",
    "Plugins",
    "Quantity",
    "Retention",
    "Retry",
    "Revenue",
    "Server",
    "Site",
    "SiteCheckout",
    "Sweep",
    "Worker",
    "load",
    "refuse_embedded",
    "restart_needed",
    "schema",
    "secret_values",
    "secrets_in",
]
