"""Models of the latents in time, behind one driver: fit, forecast, save.

Persistence, Climatology   the forecasts every other has to beat
DMD                        the best linear map, with delays
GRU                        a gated recurrent network, trained unrolled
EchoState                  a random reservoir with a least-squares readout
"""

from romae.dynamics.base import Dynamics
from romae.dynamics.baselines import Climatology, Persistence
from romae.dynamics.linear import DMD
from romae.dynamics.recurrent import GRU
from romae.dynamics.reservoir import EchoState

__all__ = ["DMD", "GRU", "Climatology", "Dynamics", "EchoState", "Persistence"]
