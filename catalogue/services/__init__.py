"""What can be done to the catalogue. The only modules that write it; every change is audited and published."""

from catalogue.services.rows import InUse, Overtaken, Row, change, create, refuse_cycle, remove, sight_host
from catalogue.services.states import StateChange, set_state, set_states

__all__ = [
    "InUse",
    "Overtaken",
    "Row",
    "StateChange",
    "change",
    "create",
    "refuse_cycle",
    "remove",
    "set_state",
    "set_states",
    "sight_host",
]
