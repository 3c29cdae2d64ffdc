"""The tests of Sysops."""

import sys

if "pytest" in sys.modules:  # not in the programs that tests start from here
    from tests import properties  # noqa: F401
