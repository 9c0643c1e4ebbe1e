"""``romae modes``: POD modes as files and figures, their convergence, their frequencies."""

import os
from typing import TYPE_CHECKING, Any, Literal

import click

from romae.cli.command import Result, command
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    output_option,
    overwrite_option,
)

if TYPE_CHECKING:
    import xarray as xr


@command("modes")
@files_argument
@output_option("Folder for modes, tables and figures.")
@click.option(
    "--rank", metavar="K", default="16", show_default=True, help="Modes, or an energy fraction."
)
@click.option("--spectral", is_flag=True, help="Spectral POD too: needs even time steps.")
@click.option("--block", type=int, metavar="N", help="Snapshots per block of the spectral POD.")
@click.option(
    "--overlap", type=float, default=0.5, show_default=True, help="Share of a block in the next."
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["png", "pdf", "svg"]),
    default="png",
    show_default=True,
    help="Of the figures.",
)
@data_options
@device_option
@overwrite_option
def modes(
    files: tuple[str, ...],
    output: str,
    rank: str,
    spectral: bool,
    block: int | None,
    overlap: float,
    suffix: Literal["png", "pdf", "svg"],
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Write the modes of FILES, their energies and frequencies.

    \b
    romae modes wake.nc -o modes
    romae modes wake.nc -o modes --rank 0.99 --spectral --block 128 --format pdf

    Writes modes.nc, convergence.nc, with --spectral spectral.nc (complex modes as NAME_real and
    NAME_imag), the fitted POD as pod.rom, and figures.
    """
    import romae
    from romae.cli.fit import latent_size
    from romae.files import atomic_directory, check_output
    from romae.report.figures import modes as drawing

    check_output(output, "directory", overwrite=overwrite, marker="modes.nc")
    snapshots = data.open(files)
    size = latent_size(rank)
    pod = romae.POD(16 if size is None else size)
    if spectral:
        from romae.diagnose.frequencies import frequency_step
        from romae.diagnose.spectral import block_length

        frequency_step(snapshots)  # refused now and not after the decompositions
        block = block_length(snapshots, block)
    if isinstance(pod.rank, int):
        pod.rank = min(pod.rank, len(snapshots) - 1, snapshots.layout.size)
    pod.fit(snapshots, device=device)
    found = romae.convergence(snapshots, pod=pod)
    spod = romae.spectral_pod(snapshots, block=block, overlap=overlap) if spectral else None
    with atomic_directory(output, overwrite=overwrite, marker="modes.nc") as folder:
        _write(
            pod.modes.assign(energy=("mode", drawing.shares(pod)[: pod.latent])), folder, "modes"
        )
        _write(found, folder, "convergence")
        if spod is not None:
            _write(parts_of_complex(spod), folder, "spectral")
        pod.save(os.path.join(folder, "pod.rom"))
        drawn = _figures(pod, found, spod, folder, suffix)
    facts: dict[str, Any] = {
        "output": output,
        "modes": pod.latent,
        "energy": pod.energy[: pod.latent],
        "singular_values": pod.singular_values[: pod.latent],
        "converged": found.attrs["converged"],
        "verdict": found.attrs["verdict"],
        "figures": drawn,
    }
    lines = [
        f"{pod.latent} modes hold {100 * float(pod.energy[pod.latent - 1]):.4g} % of the energy",
        found.attrs["verdict"],
    ]
    if spod is not None:
        peaks = spod["energy"].sel(frequency=spod["mode_frequency"].values, mode=1)
        unit = spod["frequency"].attrs["units"]
        facts["peaks"] = {"frequency": peaks["frequency"].values, "energy": peaks.values}
        facts["spectral"] = {k: spod.attrs[k] for k in ("block", "blocks", "held")} | {
            "units": unit
        }
        listed = ", ".join(f"{f:.4g}" for f in peaks["frequency"].values)
        lines.append(f"peaks at frequency {listed}{'' if unit == '1' else ' ' + unit}")
    return Result("\n".join([*lines, f"wrote {output}"]), facts)


def parts_of_complex(dataset: "xr.Dataset") -> "xr.Dataset":
    """Complex variables as NAME_real and NAME_imag: netCDF has no complex numbers."""
    import numpy as np

    for name in map(str, list(dataset.data_vars)):
        if np.iscomplexobj(dataset[name]):
            both = {f"{name}_real": dataset[name].real, f"{name}_imag": dataset[name].imag}
            dataset = dataset.drop_vars(name).assign(
                {n: v.assign_attrs(dataset[name].attrs) for n, v in both.items()}
            )
    return dataset


def _write(dataset: "xr.Dataset", folder: Any, name: str) -> None:
    dataset.to_netcdf(os.path.join(folder, f"{name}.nc"), engine="netcdf4", format="NETCDF4")


def _figures(pod: Any, found: Any, spod: Any, folder: Any, suffix: str) -> list[str]:
    from romae.report import figures

    drawings = {
        "energy": figures.energy_spectrum(pod),
        "convergence": figures.convergence_curves(found),
    }
    names = pod.layout.names
    drawings |= {f"modes-{n}": figures.pod_modes(pod, field=n) for n in names}
    if spod is not None:
        drawings["spectrum"] = figures.spod_spectrum(spod)
        drawings |= {
            f"spectral-{n}": figures.spectral_modes(spod, pod.layout, field=n) for n in names
        }
    written = []
    for name, figure in drawings.items():
        safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
        written.append(f"{safe}.{suffix}")
        figures.save(figure, os.path.join(folder, written[-1]))
    return written
