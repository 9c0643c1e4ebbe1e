"""Reduced-order models of simulation fields, always measured against POD.

What users may rely on is named here; everything else is private. Names are
loaded on first use, so that ``import romae`` costs milliseconds and no torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # what type checkers and editors see; the same names as below
    from romae.archive.compress import compress
    from romae.archive.decompress import decompress
    from romae.archive.pack import pack
    from romae.archive.verify import verify
    from romae.assimilation import assimilate, follow
    from romae.cases import make_case
    from romae.compare import (
        compare,
        compare_dynamics,
        compare_ensembles,
        compare_forecasts,
        compare_statistics,
        detect,
    )
    from romae.compare.calibration import calibration
    from romae.diagnose.convergence import convergence
    from romae.diagnose.spectral import spectral_pod
    from romae.dynamics import (
        DMD,
        GRU,
        LSTM,
        Climatology,
        EchoState,
        Ensemble,
        Equivariant,
        Koopman,
        LatentGP,
        NeuralODE,
        OperatorInference,
        Persistence,
        PolynomialMap,
        SINDy,
        Transformer,
    )
    from romae.dynamics.perturbed import Perturbed
    from romae.dynamics.resampling import resample
    from romae.errors import RomaeError
    from romae.explore import interpolate_cases, interpolate_states, latent_map, sample_states
    from romae.fields import open_snapshots
    from romae.model import ReducedModel, load
    from romae.reducers import (
        CVAE,
        POD,
        VAE,
        VQVAE,
        Aligned,
        ConditionalAutoencoder,
        ContractiveAutoencoder,
        ConvAutoencoder,
        DenoisingAutoencoder,
        DenseAutoencoder,
        LinearAutoencoder,
        MaskedAutoencoder,
        PODAutoencoder,
        QuadraticManifold,
        RankFindingAutoencoder,
        SequenceAutoencoder,
        SparseAutoencoder,
        StackedAutoencoder,
        TrainConfig,
    )
    from romae.study import sweep

__all__ = [
    "CVAE",
    "DMD",
    "GRU",
    "LSTM",
    "POD",
    "VAE",
    "VQVAE",
    "Aligned",
    "Climatology",
    "ConditionalAutoencoder",
    "ContractiveAutoencoder",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
    "DenseAutoencoder",
    "EchoState",
    "Ensemble",
    "Equivariant",
    "Koopman",
    "LatentGP",
    "LinearAutoencoder",
    "MaskedAutoencoder",
    "NeuralODE",
    "OperatorInference",
    "PODAutoencoder",
    "Persistence",
    "Perturbed",
    "PolynomialMap",
    "QuadraticManifold",
    "RankFindingAutoencoder",
    "ReducedModel",
    "RomaeError",
    "SINDy",
    "SequenceAutoencoder",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "TrainConfig",
    "Transformer",
    "__version__",
    "assimilate",
    "calibration",
    "compare",
    "compare_dynamics",
    "compare_ensembles",
    "compare_forecasts",
    "compare_statistics",
    "compress",
    "convergence",
    "decompress",
    "detect",
    "follow",
    "interpolate_cases",
    "interpolate_states",
    "latent_map",
    "load",
    "make_case",
    "open_snapshots",
    "pack",
    "resample",
    "sample_states",
    "spectral_pod",
    "sweep",
    "verify",
]

_WHERE = {
    "open_snapshots": "romae.fields",
    "POD": "romae.reducers",
    "PODAutoencoder": "romae.reducers",
    "ConvAutoencoder": "romae.reducers",
    "QuadraticManifold": "romae.reducers",
    "DenseAutoencoder": "romae.reducers",
    "LinearAutoencoder": "romae.reducers",
    "StackedAutoencoder": "romae.reducers",
    "VAE": "romae.reducers",
    "VQVAE": "romae.reducers",
    "SparseAutoencoder": "romae.reducers",
    "ContractiveAutoencoder": "romae.reducers",
    "RankFindingAutoencoder": "romae.reducers",
    "CVAE": "romae.reducers",
    "ConditionalAutoencoder": "romae.reducers",
    "DenoisingAutoencoder": "romae.reducers",
    "MaskedAutoencoder": "romae.reducers",
    "SequenceAutoencoder": "romae.reducers",
    "Aligned": "romae.reducers",
    "TrainConfig": "romae.reducers",
    "Persistence": "romae.dynamics",
    "PolynomialMap": "romae.dynamics",
    "Climatology": "romae.dynamics",
    "DMD": "romae.dynamics",
    "GRU": "romae.dynamics",
    "LSTM": "romae.dynamics",
    "Transformer": "romae.dynamics",
    "NeuralODE": "romae.dynamics",
    "EchoState": "romae.dynamics",
    "OperatorInference": "romae.dynamics",
    "SINDy": "romae.dynamics",
    "Koopman": "romae.dynamics",
    "Ensemble": "romae.dynamics",
    "Equivariant": "romae.dynamics",
    "Perturbed": "romae.dynamics.perturbed",
    "resample": "romae.dynamics.resampling",
    "LatentGP": "romae.dynamics",
    "ReducedModel": "romae.model",
    "assimilate": "romae.assimilation",
    "follow": "romae.assimilation",
    "load": "romae.model",
    "compare": "romae.compare",
    "compare_forecasts": "romae.compare",
    "compare_dynamics": "romae.compare",
    "compare_ensembles": "romae.compare",
    "compare_statistics": "romae.compare",
    "calibration": "romae.compare.calibration",
    "detect": "romae.compare",
    "sweep": "romae.study",
    "interpolate_states": "romae.explore",
    "interpolate_cases": "romae.explore",
    "sample_states": "romae.explore",
    "latent_map": "romae.explore",
    "spectral_pod": "romae.diagnose.spectral",
    "convergence": "romae.diagnose.convergence",
    "compress": "romae.archive.compress",
    "decompress": "romae.archive.decompress",
    "verify": "romae.archive.verify",
    "pack": "romae.archive.pack",
    "RomaeError": "romae.errors",
    "make_case": "romae.cases",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        from importlib.util import find_spec

        from romae.errors import nearest

        if not name.startswith("_") and find_spec(f"romae.{name}") is not None:
            raise AttributeError(f"romae.{name} is a module. Type `import romae.{name}` first.")
        raise AttributeError(f"module 'romae' has no attribute {name!r}. {nearest(name, __all__)}")
    globals()[name] = value = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
