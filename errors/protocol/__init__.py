"""The Sentry protocol as bytes: who sends, how it is packed, what an envelope holds. Pure."""
