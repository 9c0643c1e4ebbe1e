"""Training state in one safetensors file, written atomically at the end of an epoch.

What randomness an epoch needs is seeded by (seed, epoch), and the learning rate is a
function of the step, so weights, optimiser moments, running mean and best weights are the
whole state: continuing from the file gives the same bits as never having stopped.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from romae.errors import TrainingError
from romae.files import atomic_file
from romae.train.config import TrainConfig

FILE = "training.safetensors"


@dataclass
class State:
    """Everything that changes while training."""

    epoch: int = 0
    seconds: float = 0.0
    best_loss: float = float("inf")
    best_epoch: int = 0  # epochs done when the best weights were found; 0: the start
    best: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def identity(module: nn.Module, config: TrainConfig, data: str) -> str:
    """Hash of architecture, settings and data: a resume with another one is refused."""
    shapes = {name: list(t.shape) for name, t in module.state_dict().items()}
    settings = {k: v for k, v in asdict(config).items() if k != "checkpoint_seconds"}
    text = json.dumps([shapes, settings, data, repr(module)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def trained(module: nn.Module) -> dict[str, Tensor]:
    """Tensors that training changes: all but parameters that ask for no gradient.

    A POD basis, which may be gigabytes, is neither copied at every best epoch nor saved.
    """
    fixed = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {name: t for name, t in module.state_dict().items() if name not in fixed}


def restore(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`trained` gave."""
    module.load_state_dict(module.state_dict() | tensors)


def write(
    folder: Path, state: State, module: nn.Module, optimiser: torch.optim.Optimizer, key: str
) -> None:
    """Replace the checkpoint in ``folder`` by the present state."""
    from safetensors.torch import save_file

    moments = optimiser.state_dict()["state"]
    tensors = {f"weights/{k}": v for k, v in trained(module).items()}
    tensors |= {f"best/{k}": v for k, v in state.best.items()}
    tensors |= {f"average/{k}": v for k, v in state.average.items()}
    tensors |= {f"optimiser/{i}/{k}": v for i, s in moments.items() for k, v in s.items()}
    scalars: dict[str, Any] = {
        "identity": key,
        **{k: getattr(state, k) for k in ("epoch", "seconds", "best_loss", "best_epoch")},
        "history": state.history,
    }
    owned = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    with atomic_file(folder / FILE, overwrite=True) as temporary:
        save_file(owned, temporary, metadata={"state": json.dumps(scalars)})


def read(
    folder: Path, module: nn.Module, optimiser: torch.optim.Optimizer, key: str
) -> State | None:
    """State found in ``folder``, loaded into module and optimiser; None when there is none."""
    from safetensors import safe_open

    path = folder / FILE
    if not path.exists():
        return None
    try:
        with safe_open(str(path), "pt") as file:
            scalars = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # safetensors raises several kinds for damage
        raise TrainingError(
            f"the checkpoint {path} is damaged ({error}). Expected the state of a training; remove "
            f"the folder {folder} to start afresh."
        ) from error
    if scalars.pop("identity") != key:
        raise TrainingError(
            f"{path} is the checkpoint of another run: its architecture, training settings or data "
            f"differ from this one's. Remove the folder {folder} to start afresh, or use the "
            f"settings and data it began with."
        )
    parts: dict[str, dict[str, Tensor]] = {
        p: {} for p in ("weights", "best", "average", "optimiser")
    }
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    restore(module, parts["weights"])
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimiser"].items():
        index, _, what = name.partition("/")
        moments.setdefault(int(index), {})[what] = tensor
    layout = optimiser.state_dict()
    optimiser.load_state_dict({"state": moments, "param_groups": layout["param_groups"]})
    device = next(module.parameters()).device
    best, average = ({k: v.to(device) for k, v in parts[p].items()} for p in ("best", "average"))
    return State(best=best, average=average, **scalars)
