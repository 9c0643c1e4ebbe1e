"""Greedy layer-wise pre-training of dense networks: a stack of shallow autoencoders.

With hidden layers y_i = act(A_i y_{i-1}), y_0 the fields, of the encoder and their mirror images in
the decoder, one layer after the other is trained as an autoencoder of the layer below,

    min over A_i, B_i of   |y_{i-1} - act(B_i y_i)|^2 / |y_{i-1}|^2,

B_i the mirror layer of the decoder (for i = 1 a linear layer that is then dropped); at the end the
decoder's first layer learns y_L from the POD latents. The last layers of both networks are left at
zero, so that what follows still begins at POD, with layers that know the data.

Sources: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data with neural networks";
Bengio et al. 2007, "Greedy layer-wise training of deep networks".
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from romae.nets.dense import MLP
from romae.train import TrainConfig, train
from romae.train.checkpoint import Told
from romae.train.update import Batches

SHARE = 5  # each layer takes the updates of the whole training divided by this


class _Layer(nn.Module):
    """One level: ``source`` and ``target`` of fields (B, ...) are fixed, ``there`` is trained."""

    def __init__(
        self,
        source: Callable[[Tensor], Tensor],
        target: Callable[[Tensor], Tensor],
        there: nn.Sequential,
    ) -> None:
        super().__init__()
        self.source, self.target, self.there = source, target, there

    def forward(self, w: Tensor) -> Tensor:
        with torch.no_grad():
            y, goal = self.source(w), self.target(w)
        return (goal - self.there(y)).square().sum() / goal.square().sum()


def pretrain_layers(
    encoder: MLP,
    decoder: MLP,
    latents: Callable[[Tensor], Tensor],
    feed: Batches,
    config: TrainConfig,
    *,
    label: str,
    data_id: Told,
    folder: Path | None,
) -> None:
    """Train the hidden layers of ``encoder`` and ``decoder``, mirror images, from the outside in.

    ``latents``: what the decoder gets for the batch (B, ...) at the start of the training.
    """
    up, down = list(encoder.layers), list(decoder.layers)
    depth = len(up) // 2  # layers and activations alternate, and the last is a layer
    outer = up[0]
    assert isinstance(outer, nn.Linear)
    first = nn.Linear(outer.out_features, outer.in_features).to(outer.weight.device)
    levels = []
    for i in range(depth):
        back = [first] if i == 0 else down[2 * (depth - i) : 2 * (depth - i) + 2]
        below = _hidden(up, i)
        levels.append(_Layer(below, below, nn.Sequential(*up[2 * i : 2 * i + 2], *back)))
    levels.append(_Layer(latents, _hidden(up, depth), nn.Sequential(*down[:2])))
    updates = max(1, config.updates_for(feed.updates) // SHARE)
    short = replace(config, epochs=None, steps=updates, average=0.0)
    for i, level in enumerate(levels, start=1):
        train(
            level,
            lambda module, w, progress: module(w),
            feed,
            None,
            short,
            label=f"{label} layer {i} of {len(levels)}",
            data_id=data_id | {"architecture": data_id["architecture"] | {"layer": str(i)}},
            folder=None if folder is None else folder / f"layer-{i}",
        )
    encoder.train()
    decoder.train()


def _hidden(up: list[nn.Module], depth: int) -> Callable[[Tensor], Tensor]:
    """y_depth of a batch (B, ...)."""
    layers = nn.Sequential(*up[: 2 * depth])
    return lambda w: layers(w.flatten(1))
