"""What the gateway talks about: money, attribution, revenue events, deliveries. Values and pure functions only."""
