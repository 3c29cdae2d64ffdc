"""How people are reached: channels, messages, deliveries."""
