"""``romae doctor``: what this installation can do, to paste into a report."""

import os
import platform
import sys
from typing import Any

from romae.cli.command import Result, command

LIBRARIES = [
    *("romae", "numpy", "scipy", "torch", "xarray", "dask", "h5py", "netCDF4", "zarr"),
    *("safetensors", "cf_xarray", "click", "rich", "matplotlib", "jinja2"),
]


@command("doctor")
def doctor() -> Result:
    """Show versions, devices, threads, folders.

    Exit status 1 when something that romae needs is missing or broken.
    """
    versions, problems = _versions()
    facts: dict[str, Any] = {
        "romae": versions["romae"],
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": _processors(),
        "libraries": versions,
        "torch": _guarded(_torch, "torch", problems),
        "hdf5": _guarded(_hdf5, "HDF5", problems),
        "share": _guarded(_share, "share folders", problems),
        "problems": problems,
    }
    return Result(_text(facts), facts, status=1 if problems else 0)


def _versions() -> tuple[dict[str, str], list[str]]:
    from importlib.metadata import PackageNotFoundError, version

    found, problems = {}, []
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
            problems.append(f"{name} is not installed: pip install {name.replace('_', '-')}")
    return found, problems


def _guarded(probe: Any, what: str, problems: list[str]) -> Any:
    """Facts of one part; a part that fails is a finding, the others still report."""
    try:
        return probe()
    except Exception as error:  # whatever a broken installation throws
        problems.append(f"{what}: {type(error).__name__}: {error}")
        return {}


def _processors() -> dict[str, Any]:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = {k: os.environ[k] for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if k in os.environ}
    return {"cores": os.cpu_count(), "allowed": allowed, **limits}


def _torch() -> dict[str, Any]:
    import torch

    devices = [
        {
            "name": torch.cuda.get_device_name(i),
            "memory_bytes": torch.cuda.get_device_properties(i).total_memory,
            "capability": ".".join(map(str, torch.cuda.get_device_capability(i))),
        }
        for i in range(torch.cuda.device_count())
    ]
    return {
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "built_for_cuda": torch.version.cuda or "no",
        "cuda_devices": devices,
    }


def _hdf5() -> dict[str, Any]:
    import h5py
    import netCDF4

    return {
        "h5py": h5py.version.hdf5_version,
        "netCDF4": netCDF4.__hdf5libversion__,
        "netcdf_c": netCDF4.__netcdf4libversion__,
        "file_locking": os.environ.get("HDF5_USE_FILE_LOCKING", "default"),
        "parallel": bool(h5py.get_config().mpi),
    }


def _share() -> dict[str, Any]:
    from romae.cases import list_cases
    from romae.share import share_path

    return {
        "datasets": share_path("datasets"),
        "workflows": share_path("workflows"),
        "cases": list_cases(),
    }


def _text(facts: dict[str, Any]) -> str:
    lines = []
    for name, value in facts.items():
        if name == "problems":
            continue
        shown = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        lines.append(f"{name:<11} {shown}")
    problems = facts["problems"]
    lines += [f"problem     {problem}" for problem in problems] or ["problems    none"]
    return "\n".join(lines)


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_line(item)}" for key, item in value.items())
    return (" ".join(map(_line, value)) or "none") if isinstance(value, list) else str(value)
