"""The other side of the wire for demos and tests: message server, HelseID, register, mail, and scripted partners."""

from adapter.simulator.deviations import DEVIATIONS
from adapter.simulator.ebxml_script import EBXML_BEHAVIOURS
from adapter.simulator.faults import FAULTS, Faults
from adapter.simulator.folder import write_folder
from adapter.simulator.partners import BEHAVIOURS
from adapter.simulator.serving_alone import serve_forever
from adapter.simulator.simulation import LIVELY_PARTS, Simulation, VirtualClock, start
from adapter.simulator.tenants import Tenant

__all__ = [
    "BEHAVIOURS",
    "DEVIATIONS",
    "EBXML_BEHAVIOURS",
    "FAULTS",
    "LIVELY_PARTS",
    "Faults",
    "Simulation",
    "Tenant",
    "VirtualClock",
    "serve_forever",
    "start",
    "write_folder",
]
