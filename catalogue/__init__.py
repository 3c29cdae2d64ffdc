"""Environments, hosts, services, teams and people: what the rest of the house speaks about by name."""
