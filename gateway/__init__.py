"""Faurya Gateway: proves and keeps payment webhooks, and records confirmed money in Faurya exactly once."""
