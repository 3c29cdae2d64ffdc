"""Sysops beside Bugsink: how many errors each takes, works off and stores, with which CPU. See __main__."""
