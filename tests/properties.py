"""How Hypothesis looks for counter-examples here: for as long as it takes.

By itself it fails an example that takes longer than 200 ms, or data that are long in the making: on a busy machine
every one does at times, whatever it tests. Imported by the package of the tests, before any of them is read.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
