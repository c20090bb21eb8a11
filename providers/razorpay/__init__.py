"""Razorpay. What the owner of the Razorpay account has to set up stands in this folder's README.md."""

from providers.razorpay.provider import RazorpayPlugin

plugin = RazorpayPlugin()

__all__ = ["plugin"]
