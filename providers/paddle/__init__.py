"""Paddle Billing. What the owner of the Paddle account has to set up stands in this folder's README.md."""

from providers.paddle.provider import PaddlePlugin

plugin = PaddlePlugin()

__all__ = ["plugin"]
