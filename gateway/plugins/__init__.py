"""
Provider plugins: found through entry points, loaded only where the configuration names them, guarded at every call.

    PluginUnknown       not installed, installed twice, broken, or written for another interface (at the start)
    PluginFault         a call did something that the interface forbids: the plugin's mistake, not the webhook's
"""

from gateway.plugins.calls import MAX_EVENTS, create_checkout, extract, verify
from gateway.plugins.faults import PluginFault
from gateway.plugins.listing import MAX_LISTED, find, list_revenue
from gateway.plugins.opening import Live, Opened, open_all
from gateway.plugins.registry import PluginRegistry

__all__ = [
    "MAX_EVENTS",
    "MAX_LISTED",
    "Live",
    "Opened",
    "PluginFault",
    "PluginRegistry",
    "create_checkout",
    "extract",
    "find",
    "list_revenue",
    "open_all",
    "verify",
]
