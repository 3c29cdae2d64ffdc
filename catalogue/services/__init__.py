"""What can be done to the catalogue. The only modules that write it; every change is audited and published."""

from catalogue.services.rows import InUse, Overtaken, Row, change, create, refuse_cycle, remove, sight_host
from catalogue.services.states import set_state

__all__ = ["InUse", "Overtaken", "Row", "change", "create", "refuse_cycle", "remove", "set_state", "sight_host"]
