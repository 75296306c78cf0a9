"""The other side of the wire for demos and tests: message server, HelseID, address register, scripted partners."""

from adapter.simulator.deviations import DEVIATIONS
from adapter.simulator.faults import FAULTS, Faults
from adapter.simulator.partners import BEHAVIOURS
from adapter.simulator.simulation import Simulation, Tenant, VirtualClock, start

__all__ = ["BEHAVIOURS", "DEVIATIONS", "FAULTS", "Faults", "Simulation", "Tenant", "VirtualClock", "start"]
