"""Health: what is measured about Sysops itself, and what is wrong in plain words."""
