"""Models of the latents in time, behind one driver: fit, forecast, save.

Persistence, Climatology   the forecasts every other has to beat
DMD                        the best linear map, with delays
GRU, LSTM                  gated recurrent networks, trained unrolled
Transformer                causal attention over a window
NeuralODE                  continuous time: steps of any length
EchoState                  a random reservoir with a least-squares readout
PolynomialMap              a polynomial of the last states: next-generation reservoir computing
OperatorInference          a polynomial law, regularised until rollouts stay bounded
SINDy                      a sparse law that can be read
Koopman                    functions of the latents that evolve linearly, at any time
Ensemble                   several models of one kind, from other seeds or other data
Equivariant                any of them on the shapes and phase increments of Aligned
LatentGP                   a law per case, interpolated over parameters
"""

from romae.dynamics.base import Dynamics
from romae.dynamics.baselines import Climatology, Persistence
from romae.dynamics.ensemble import Ensemble
from romae.dynamics.equivariant import Equivariant
from romae.dynamics.koopman import Koopman
from romae.dynamics.latent_gp import LatentGP
from romae.dynamics.linear import DMD
from romae.dynamics.neural_ode import NeuralODE
from romae.dynamics.opinf import OperatorInference
from romae.dynamics.polynomial import PolynomialMap
from romae.dynamics.recurrent import GRU, LSTM
from romae.dynamics.reservoir import EchoState
from romae.dynamics.sindy import SINDy
from romae.dynamics.transformer import Transformer

__all__ = [
    "DMD",
    "GRU",
    "LSTM",
    "Climatology",
    "Dynamics",
    "EchoState",
    "Ensemble",
    "Equivariant",
    "Koopman",
    "LatentGP",
    "NeuralODE",
    "OperatorInference",
    "Persistence",
    "PolynomialMap",
    "SINDy",
    "Transformer",
]
