"""Training state in one safetensors file, written atomically between two updates.

The random numbers of an update are seeded by (seed, step), the order of an epoch by (seed, epoch),
and the learning rate is a function of the step; so the step is the state of all generators and the
position in the feed. With weights, optimiser moments, running mean and best weights it is the
whole state: continuing from the file gives the same bits as never having stopped, on a CPU.

A SHA-256 of all of it is stored along: a file that a disk or a copy has changed is refused.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save_file
from torch import Tensor, nn

from romae.errors import TrainingError
from romae.files import atomic_file
from romae.train.config import TrainConfig
from romae.train.optimiser import Optimiser

FILE = "training.safetensors"
LAYOUT = 2  # of this file; counted on when moments or weights get another shape
SCALARS = ("step", "loss", "seconds", "best_loss", "best_epoch", "history")
ANYTIME = ("checkpoint_seconds", "metrics")  # settings that may change when going on


@dataclass
class State:
    """Everything that changes while training."""

    step: int = 0  # updates done
    loss: float = 0.0  # sum over the batches of the present epoch
    seconds: float = 0.0
    best_loss: float = float("inf")
    best_epoch: int = 0  # epochs done when the best weights were found; 0: the start
    best: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def identity(module: nn.Module, config: TrainConfig, data: str) -> str:
    """Hash of architecture, settings and data: a resume with another one is refused."""
    shapes = {name: list(t.shape) for name, t in module.state_dict().items()}
    settings = {k: v for k, v in asdict(config).items() if k not in ANYTIME}
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


def write(folder: Path, state: State, module: nn.Module, optimiser: Optimiser, key: str) -> None:
    """Replace the checkpoint in ``folder`` by the present state."""
    tensors = {f"weights/{k}": v for k, v in trained(module).items()}
    tensors |= {f"best/{k}": v for k, v in state.best.items()}
    tensors |= {f"average/{k}": v for k, v in state.average.items()}
    tensors |= {f"optimiser/{k}": v for k, v in optimiser.moments().items()}
    owned = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    scalars = json.dumps(
        {"layout": LAYOUT, "identity": key, **{k: getattr(state, k) for k in SCALARS}}
    )
    metadata = {"state": scalars, "sha256": _digest(scalars, owned)}
    with atomic_file(folder / FILE, overwrite=True) as temporary:
        save_file(owned, temporary, metadata=metadata)


def content(folder: Path) -> bytes | None:
    """The checkpoint file in ``folder``, None when there is none."""
    path = folder / FILE
    return path.read_bytes() if path.exists() else None


def read(found: bytes, folder: Path, module: nn.Module, optimiser: Optimiser, key: str) -> State:
    """State in the :func:`content` of ``folder``, loaded into module and optimiser.

    Raises :class:`TrainingError` for a damaged file, one of another version and one of another run.
    """
    scalars, tensors = _parse(found, folder)
    layout = scalars.pop("layout", 1)
    if layout != LAYOUT:
        raise TrainingError(
            f"{folder / FILE} has layout {layout}, of another version of romae. Expected layout "
            f"{LAYOUT}. End the training with the version that began it, or remove the folder "
            f"{folder} to start afresh with this one."
        )
    if scalars.pop("identity") != key:
        raise TrainingError(
            f"{folder / FILE} is the checkpoint of another run: its architecture, training "
            f"settings or data differ from this one's. Remove the folder {folder} to start "
            f"afresh, or use the settings and data it began with."
        )
    parts: dict[str, dict[str, Tensor]] = {
        p: {} for p in ("weights", "best", "average", "optimiser")
    }
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    restore(module, parts["weights"])
    optimiser.load(parts["optimiser"])
    device = next(module.parameters()).device
    best, average = ({k: v.to(device) for k, v in parts[p].items()} for p in ("best", "average"))
    return State(best=best, average=average, **scalars)


def _parse(found: bytes, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Scalars and tensors, checked against the sum stored with them."""
    try:
        length = int.from_bytes(found[:8], "little")
        metadata = json.loads(found[8 : 8 + length])["__metadata__"]
        tensors = load(found)
        if metadata["sha256"] != _digest(metadata["state"], tensors):
            raise ValueError("its SHA-256 differs from the one stored in it")
        return json.loads(metadata["state"]), tensors
    except Exception as error:  # safetensors raises several kinds for damage
        raise TrainingError(
            f"the checkpoint {folder / FILE} is damaged ({error}). Expected the state of a "
            f"training; remove the folder {folder} to start afresh."
        ) from error


def _digest(scalars: str, tensors: dict[str, Tensor]) -> str:
    found = hashlib.sha256(scalars.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()
