"""Errors: whatever a Sentry SDK reports, kept, grouped into issues, and followed until somebody has dealt with it."""
