"""Stripe. What the owner of the Stripe account has to set up stands in this folder's README.md."""

from providers.stripe.provider import StripePlugin

plugin = StripePlugin()

__all__ = ["plugin"]
