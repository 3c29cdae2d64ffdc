"""`python -m sysops.cli`, for where the script `sysops` is not installed."""

from sysops.cli import main

main()
