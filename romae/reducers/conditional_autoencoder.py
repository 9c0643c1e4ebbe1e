"""Autoencoder that is told the parameters of the case: Reynolds number, forcing, amplitude.

With a the first m POD coordinates (:mod:`romae.reducers.pod_autoencoder`) and the parameters
c = (p - mean) / std of a case, over the training cases,

    h = R (a - B c) + E(a, c),        a^ = B c + R^T z + D(z, c),

B the least-squares regression of a on c (with a constant) and R (k, m) the leading directions of
what it leaves. E and D start at zero: the start is the best linear model that knows c, which is
never worse than POD with k modes on the training data. Without B and R the latents would begin
with what c says already, and gradients would not move them from there.

What the parameters say need not be in the latents: with fewer of them, a family of cases is
restored. Between training parameters the decoder interpolates; beyond them it extrapolates, which
no network does well.

Source: Sohn, Lee & Yan 2015, "Learning structured output representation using deep conditional
generative models".
"""

import copy
from collections.abc import Sequence
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor

from romae.errors import DataError, OptionError, nearest
from romae.fields import Snapshots
from romae.nets.activations import Activation
from romae.nets.bottlenecks import Bottleneck, Plain, Squeeze
from romae.nets.dense import MLP
from romae.reducers.autoencoder import Feed, Scale, Terms
from romae.reducers.coder import Coder
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.network_coder import NetworkCoder
from romae.reducers.parameters import check_numbers, lacking
from romae.reducers.pod import LinearCoder, linear_coder
from romae.reducers.pod_autoencoder import PODAutoencoder, PODCoordinatesCoder
from romae.train import TrainConfig
from romae.train.objective import MSE, Corruption


class ConditionalCoder(PODCoordinatesCoder):
    """The maps of the module docstring; working coordinates are [a; c] (B, m + p)."""

    slope: Tensor  # B
    turn: Tensor  # R

    def __init__(
        self,
        basis: LinearCoder,
        unit: float,
        squeeze: Squeeze,
        hidden: Sequence[int],
        act: Activation,
        told: int,
    ) -> None:
        super().__init__(basis, unit, squeeze, hidden, act)
        m, k, width = len(self.basis.modes), self.squeeze.latent, self.squeeze.width
        self.m = m
        self.register_buffer("slope", torch.zeros(m, told + 1))
        self.register_buffer("turn", torch.eye(k, m))
        self.encoder = MLP(m + told, width, hidden=hidden, act=act, zero_last=True)
        self.decoder = MLP(k + told, m, hidden=hidden, act=act, zero_last=True)

    def start(self, w: Tensor) -> None:
        """Set B and R by the training coordinates ``w`` (T, m + p)."""
        # On the host: LAPACK alone has gelsd, which stands parameters that depend on each other.
        w = w.cpu().double()
        a, c = w[:, : self.m], F.pad(w[:, self.m :], (0, 1), value=1.0)
        B = torch.linalg.lstsq(c, a, driver="gelsd").solution.T
        rest = a - c @ B.T
        _, R = torch.linalg.eigh(rest.T @ rest)
        self.slope.copy_(B)
        self.turn.copy_(R.flip(1)[:, : len(self.turn)].T)

    def known(self, w: Tensor) -> Tensor:
        """B c (B, m)."""
        return F.pad(w[:, self.m :], (0, 1), value=1.0) @ self.slope.T

    def tell(self, x: Tensor, c: Tensor) -> Tensor:
        """Scaled fields (B, C, *space) and parameters (p,) -> (B, m + p)."""
        return torch.cat([self.work(x), c.expand(len(x), -1)], 1)

    def show(self, w: Tensor) -> Tensor:
        """Scaled fields (B, C, *space) of [a; c]."""
        return super().show(w[:, : self.m])

    def put(self, w: Tensor, x: Tensor) -> Tensor:
        """Parameters stay."""
        return torch.cat([self.work(x), w[:, self.m :]], 1)

    def distance(self, w: Tensor, v: Tensor) -> Tensor:
        """Of the coordinates alone."""
        return super().distance(w[:, : self.m], v[:, : self.m])

    def white(self, w: Tensor) -> Tensor:
        """No noise on the parameters."""
        return F.pad(super().white(w[:, : self.m]), (0, w.shape[1] - self.m))

    def analyse(self, w: Tensor) -> Tensor:
        """h = [R (a - B c); 0] + E(a, c)."""
        return self.widen((w[:, : self.m] - self.known(w)) @ self.turn.T) + self.encoder(w)

    def rebuild(self, z: Tensor, w: Tensor) -> Tensor:
        """a^ = B c + R^T z + D(z, c)."""
        c = w[:, self.m :]
        return self.known(w) + z @ self.turn + self.decoder(torch.cat([z, c], 1))


class ConditionalAutoencoder(PODAutoencoder):
    """Autoencoder that knows the parameters of the case; see the module.

    ``encode_tensor`` and ``decode_tensor`` work on what ``along(source, case)`` returns: it has the
    parameters of that case.

    Parameters
    ----------
    latent : number of latents k.
    condition : names of the parameters; None takes all that the training cases have. Parameters are
        coordinates over ``case``, or scalar coordinates of a single trajectory; latents carry them.
    modes, hidden, act : as for :class:`romae.PODAutoencoder`.
    bottleneck, objective, corruption, train, scale : as for every autoencoder, see
        :class:`romae.reducers.autoencoder.Autoencoder`.
    """

    def __init__(
        self,
        latent: int = 2,
        *,
        condition: Sequence[str] | None = None,
        modes: int | None = None,
        hidden: Sequence[int] = (128, 128, 128),
        act: Activation = "gelu",
        bottleneck: Bottleneck = Plain(),
        objective: Terms = MSE(),
        corruption: Corruption | None = None,
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        super().__init__(
            latent,
            modes=modes,
            hidden=hidden,
            act=act,
            bottleneck=bottleneck,
            objective=objective,
            corruption=corruption,
            train=train,
            scale=scale,
        )
        if condition is not None and (isinstance(condition, str) or not condition):
            raise OptionError(f"condition is {condition!r}. Expected names, such as ['Re'].")
        self.condition = None if condition is None else tuple(condition)
        self._told: dict[str, list[float]] = {}  # parameter: mean and std over the training cases
        self._c: Tensor | None = None

    def _fit(self, data: FitData) -> Coder:
        snapshots = data.snapshots
        known = [] if snapshots.params is None else [str(n) for n in snapshots.params.columns]
        if not known:
            partly = lacking(snapshots)
            raise DataError(
                f"{self.name} needs parameters, and the cases of {snapshots.source} have none"
                f"{' in common. ' + partly if partly else '.'} "
                f"Give a coordinate over the cases: ds.assign_coords(Re=('case', [...])), or type "
                f"PODAutoencoder."
            )
        for name in self.condition or ():
            if name not in known:
                why = lacking(snapshots, (name,)) or nearest(name, known)
                raise OptionError(f"condition: no parameter {name!r}. {why}")
        self._told = {name: [0.0, 1.0] for name in self.condition or known}
        values = self._parameters(snapshots)
        spread = values.std(0)
        for i, name in enumerate(self._told):
            self._told[name] = [float(values[:, i].mean()), float(spread[i] or 1.0)]
        return super()._fit(data)

    def _coder(self, modes: np.ndarray, unit: float) -> NetworkCoder:
        basis, squeeze = linear_coder(self.layout, modes), self.bottleneck.module(self.inside)
        told = len(self._told)
        return ConditionalCoder(basis, unit, squeeze, self.hidden, self.act, told)

    def _parameters(self, source: Snapshots | xr.DataArray) -> np.ndarray:
        """c (cases, p) of snapshots or latents; in units of the training cases."""
        if isinstance(source, xr.DataArray):
            found, where = {str(n): c.values for n, c in source.coords.items()}, "these latents"
        else:
            where = str(source.source)
            found = {str(n): c.values for n, c in source.layout.coords.variables.items()}
            if source.params is not None:
                found |= {str(n): c.to_numpy() for n, c in source.params.items()}
        columns = []
        for name, (mean, std) in self._told.items():
            if name not in found:
                partly = "" if isinstance(source, xr.DataArray) else lacking(source, (name,))
                hint = f"Type .assign_coords({name}=...), one number, or ('case', [...])."
                raise DataError(
                    f"{self.name} was fitted with the parameter {name!r}, and {where} have none of "
                    f"that name{' in every case' if partly else ''}. {partly or hint}"
                )
            values = np.atleast_1d(np.asarray(found[name], dtype=np.float64))
            check_numbers(values, name, where)
            columns.append((values - mean) / std)
        return np.stack(columns, 1)

    def along(self, source: Snapshots | xr.DataArray, case: int) -> Self:
        """The same, with the parameters of one case."""
        own = copy.copy(self)
        own._c = torch.from_numpy(self._parameters(source)[case].astype(np.float32))
        return own

    def _coder_and_parameters(self) -> tuple[ConditionalCoder, Tensor]:
        coder = cast(ConditionalCoder, self._ready())
        if self._c is None:
            raise DataError(
                f"{self.name} encodes and decodes with the parameters {', '.join(self._told)}. "
                f"Type reducer.along(source, case) first, with snapshots or latents that have them."
            )
        return coder, self._c.to(coder.unit.device)

    def encode_tensor(self, x: Tensor) -> Tensor:
        """(B, C, *space) of one case -> (B, k)."""
        coder, c = self._coder_and_parameters()
        return coder.codes(coder.tell(x, c))

    def decode_tensor(self, z: Tensor) -> Tensor:
        """(B, k) of one case -> (B, C, *space)."""
        coder, c = self._coder_and_parameters()
        w = F.pad(c.expand(len(z), -1), (coder.m, 0))
        return coder.show(coder.rebuild(coder.opened(z), w))

    def _feed(self, coder: Coder, snapshots: Snapshots, data: FitData, shuffle: bool) -> Feed:
        assert isinstance(coder, ConditionalCoder)
        c = torch.from_numpy(self._parameters(snapshots).astype(np.float32)).to(data.device)
        with torch.no_grad():
            batches = scaled_batches(snapshots, data.scaling, data.device)
            w = torch.cat([coder.tell(x, c[case]) for case, x in batches])
            if shuffle:  # the training data
                coder.start(w)
        return self._resident(w, data, shuffle)

    def _fitted_scalars(self) -> dict[str, Any]:
        return {**super()._fitted_scalars(), "_told": self._told}
