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
LAYOUT = 3  # of this file; counted on when moments or weights get another shape
SCALARS = ("step", "loss", "seconds", "best_loss", "best_epoch", "history")
PARTS = ("settings", "data", "architecture")  # the last follows from the others, often
SHOWN = 3  # differences of a part that a message tells
Told = dict[str, dict[str, str]]  # part: name: value, of what decides the result
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


def identity(module: nn.Module, config: TrainConfig, data: str | Told) -> Told:
    """What decides the result: a resume with another architecture, settings or data is refused.

    ``data``: which data these are, or more of all three.
    """
    architecture = {f"tensor {n}": str(list(t.shape)) for n, t in module.state_dict().items()}
    settings = {f"train.{k}": str(v) for k, v in asdict(config).items() if k not in ANYTIME}
    own = {"settings": settings, "architecture": {**architecture, "layers": repr(module)}}
    more = {"data": {"data": data}} if isinstance(data, str) else data
    return {part: {**more.get(part, {}), **own.get(part, {})} for part in PARTS}


def _check_same(then: Told, now: Told, folder: Path) -> None:
    """Raise :class:`TrainingError` unless both tell the same run; says what differs, and how."""
    differ: dict[str, list[str]] = {}
    back: list[str] = []
    for part in PARTS:
        for name in {**then.get(part, {}), **now[part]}:
            old, new = (told.get(part, {}).get(name, "none") for told in (then, now))
            if old != new:
                differ.setdefault(part, []).append(f"{name} was {_brief(old)} and is {_brief(new)}")
                if name.startswith("train."):
                    back.append(f"{name}={old}")
    if not differ:
        return
    told = "; ".join(
        f"{part} ({', '.join(found[:SHOWN])}{' ...' if len(found) > SHOWN else ''})"
        for part, found in differ.items()
    )
    hint = f": type {', '.join(back)}" if list(differ) == ["settings"] and back else ""
    raise TrainingError(
        f"{folder / FILE} is the checkpoint of another run, with other {told}. Expected the "
        f"{' and '.join(differ)} it began with{hint}. Or remove the folder {folder}, or name "
        "another one, to start afresh."
    )


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else f"{line[:37]}..."


def trained(module: nn.Module) -> dict[str, Tensor]:
    """Tensors that training changes: all but parameters that ask for no gradient.

    A POD basis, which may be gigabytes, is neither copied at every best epoch nor saved.
    """
    fixed = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {name: t for name, t in module.state_dict().items() if name not in fixed}


def restore(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`trained` gave."""
    module.load_state_dict(module.state_dict() | tensors)


def write(folder: Path, state: State, module: nn.Module, optimiser: Optimiser, key: Told) -> None:
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


def read(found: bytes, folder: Path, module: nn.Module, optimiser: Optimiser, key: Told) -> State:
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
    _check_same(scalars.pop("identity"), key, folder)
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
