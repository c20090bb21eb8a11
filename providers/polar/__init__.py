"""Polar. What the owner of the Polar organization has to set up stands in this folder's README.md."""

from providers.polar.provider import PolarPlugin

plugin = PolarPlugin()

__all__ = ["plugin"]
