"""The engine `postgres`, in parts; the engine itself is engine.PostgresEngine."""
