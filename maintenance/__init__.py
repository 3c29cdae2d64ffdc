"""Windows: planned, emergency, recurring."""
