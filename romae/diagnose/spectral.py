"""Spectral POD of snapshots: at each frequency, the structures that carry its energy.

    z = U W x'  ->  lambda (frequency, mode), psi  ->  phi = psi^T U        (romae.linalg.spectral)

POD orders structures by energy alone, and mixes in one mode what happens at different
frequencies; spectral POD separates them, at the price of a complex mode for each frequency. It
works on POD coordinates z (T, r), never on the fields: one pass over the data beyond the POD, and
T r numbers. With all modes of the data that is exact (to the rounding of float32 modes); with
r of them, what those leave out is missing, mostly where the spectrum is low: ``held`` says how
much of the energy is there, and no energy is ever too large.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from romae.diagnose.coordinates import chosen, coordinates, fitted_pod, same_units
from romae.diagnose.frequencies import frequency_step
from romae.errors import DataError, OptionError, check_option, check_whole
from romae.fields import Snapshots, open_snapshots
from romae.linalg.spectral import Spectrum, Window, peaks, spectrum, starts
from romae.reducers import POD

PEAKS = 4  # frequencies whose modes are kept by "peaks"


def spectral_pod(
    data: Any,
    *,
    block: int | None = None,
    overlap: float = 0.5,
    window: Window = "hann",
    modes: int = 4,
    frequencies: Literal["peaks"] | Sequence[float] | None = "peaks",
    pod: POD | None = None,
) -> xr.Dataset:
    """Spectral POD of snapshots at an even time step.

    Parameters
    ----------
    data : Snapshots, or what :func:`romae.open_snapshots` takes. Trajectories of several cases
        each give their own blocks.
    block : snapshots per block; the frequencies are multiples of 1 / (block dt). By default the
        largest power of two that fits four times into the shortest trajectory. Longer blocks
        resolve frequencies, more blocks give surer modes.
    overlap : share of a block that the next one repeats, 0 to less than 1.
    window : ``hann``, ``hamming`` or ``boxcar``, which alone keeps the energy exactly.
    modes : modes kept at each frequency.
    frequencies : where mode shapes are kept: ``peaks``, the four largest maxima of the first
        mode's energy at which it is three times that of the second or more; a list, in the units
        of the result, each taken to the nearest there is; or None for none. Each costs ``modes``
        complex fields of memory.
    pod : the POD whose coordinates are used, fitted here unless it is. By default all modes of
        data up to 256 MiB, else 256 modes.

    Returns
    -------
    A Dataset: ``energy`` (frequency, mode); ``total`` (frequency), the energy of all modes, its
    sum over frequencies being the mean square of the fluctuation (exactly for ``boxcar`` blocks
    that cover the data once); each field's modes, complex, (mode_frequency, mode, *space),
    orthonormal in the quadrature weights over all fields, NaN where masked. Energies are
    averages over the domain in the square of the fields' units where all share one, else scaled
    and dimensionless. Divide by the step of ``frequency`` for a density. ``attrs`` say how many
    blocks there were and which share of the energy the POD coordinates hold.

    Raises :class:`~romae.errors.DataError` for uneven time steps and for too few snapshots.

    Source: Towne, Schmidt & Colonius 2018, "Spectral proper orthogonal decomposition and its
    relationship to dynamic mode decomposition and resolvent analysis".
    """
    snapshots = open_snapshots(data)
    check_option("window", window, get_args(Window))
    if not 0 <= overlap < 1:
        raise OptionError(f"overlap is {overlap!r}. Expected 0 to less than 1; type overlap=0.5.")
    check_whole("modes", modes)
    step, unit = frequency_step(snapshots)
    N = block_length(snapshots, block)
    if frequencies is not None and not isinstance(frequencies, str):
        frequencies = chosen(frequencies, "frequency", 0, 0.5 / step)
    elif frequencies is not None:
        check_option("frequencies", frequencies, ["peaks"])
    pod = fitted_pod(snapshots, pod)
    found = spectrum(coordinates(pod, snapshots), N, overlap, window, modes)
    used = sum(starts(n, N, overlap)[-1] + N for n in snapshots.lengths)
    units = same_units(pod)
    scale = 1.0 if units is None else float(pod.scaling.scale[0])
    per_point = scale**2 / (pod.layout.quadrature.sum() / pod.layout.channels)
    squared = "1" if units in (None, "", "1") else f"({units})^2"
    axis = xr.Variable("frequency", found.frequency / step, {"units": unit})
    energy = {"units": squared, "long_name": "energy of the spectral POD, domain average"}
    result = xr.Dataset(
        {
            "energy": (("frequency", "mode"), per_point * found.energy, energy),
            "total": ("frequency", per_point * found.total, energy),
        },
        {"frequency": axis, "mode": np.arange(1, found.energy.shape[1] + 1)},
        {
            "source": snapshots.source,
            "block": N,
            "overlap": overlap,
            "window": window,
            "blocks": found.blocks,
            "snapshots": len(snapshots),
            "snapshots_used": used,
            "pod_modes": pod.latent,
            "held": min(1.0, float(pod.energy[pod.latent - 1])),  # of what the POD was fitted to
        },
    )
    if frequencies is None:
        return result
    if isinstance(frequencies, str):
        where = peaks(found.energy, PEAKS)
    else:
        where = np.unique([np.abs(axis.values - f).argmin() for f in frequencies])
    return xr.merge([result, shapes(pod, found, where, axis)], combine_attrs="override")


def block_length(snapshots: Snapshots, block: int | None) -> int:
    """Snapshots per block: as asked for, or the default; refused when too few are there."""
    shortest = min(snapshots.lengths)
    snapshots.require(8, "a spectral POD")
    if block is None:
        return 1 << ((shortest // 4).bit_length() - 1)
    if check_whole("block", block, 2) > shortest:
        raise DataError(
            f"{snapshots.source} has {shortest} snapshots in its shortest trajectory, and a block "
            f"of {block} asks for more. Expected several blocks; type block="
            f"{max(2, shortest // 4)}, or open more files."
        )
    return int(block)


def shapes(pod: POD, found: Spectrum, where: np.ndarray, axis: xr.Variable) -> xr.Dataset:
    """Modes of the fields at the frequencies at positions ``where``, complex64."""
    basis = pod.modes
    names = pod.layout.names
    values = np.concatenate(
        [basis[n].transpose("mode", ...).values.reshape(pod.latent, -1) for n in names], axis=1
    )
    psi = found.vectors[where].reshape(-1, pod.latent).astype(np.complex64)
    flat = np.empty((len(psi), values.shape[1]), np.complex64)
    flat.real, flat.imag = psi.real @ values, psi.imag @ values
    grid = (len(where), found.vectors.shape[1], len(names), *pod.layout.shape)
    flat = flat.reshape(grid)
    dims = ("mode_frequency", "mode", *pod.layout.space)
    taken = {"energy", "total"}
    fields = {
        f"{n}_mode" if n in taken else n: (dims, flat[:, :, i], {"units": "1"})
        for i, n in enumerate(names)
    }
    at = xr.Variable("mode_frequency", axis.values[where], dict(axis.attrs))
    return xr.Dataset(fields, {**pod.layout.coords.coords, "mode_frequency": at})
