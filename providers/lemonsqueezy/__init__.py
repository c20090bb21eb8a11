"""Lemon Squeezy. What the owner of the store has to set up stands in this folder's README.md."""

from providers.lemonsqueezy.provider import LemonSqueezyPlugin

plugin = LemonSqueezyPlugin()

__all__ = ["plugin"]
