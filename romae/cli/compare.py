"""``romae compare``: fitted models against unseen snapshots."""

import os
from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    output_option,
    overwrite_option,
    parts,
    split_options,
)
from romae.conventions import BUNDLE_FILE
from romae.errors import MissingFileError, OptionError


@command("compare")
@click.argument("paths", nargs=-1, required=True, metavar="FILES... MODELS.rom...")
@output_option("Folder for tables, figures and index.html.", required=False)
@split_options
@data_options
@device_option
@overwrite_option
def compare(
    paths: tuple[str, ...],
    output: str | None,
    split: Any,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Measure models on unseen snapshots.

    Errors of every field, bytes stored, training time, encode and decode rate.

    \b
    romae compare later.nc pod.rom ae.rom -o report
    romae compare wake.nc pod.rom ae.rom -o report --split 0.7,0.15,0.15

    A saved model is told from data by what is in it; the order does not matter. With
    --split the last part is used, which `romae fit --split` leaves untouched.
    """
    import romae
    from romae.files import check_output

    files, bundles = sort_paths(paths)
    if output is not None:
        check_output(output, "directory", overwrite=overwrite, marker="index.html")
    models = {name: romae.load(path) for name, path in model_names(bundles).items()}
    for model in models.values():
        getattr(model, "reducer", model).to(device)
    *_, test = parts(data.open(files), split)
    found = romae.compare(models, test)
    if output is not None:
        from romae.report import write_report

        given = {"data": files, "models": bundles, "split": split}
        write_report(
            output,
            comparison=found,
            models=models,
            test=test,
            provenance=given,
            overwrite=overwrite,
        )
    text = text_table(found) + (f"\nwrote {os.path.join(output, 'index.html')}" if output else "")
    return Result(text, {"models": records(found), "output": output})


def sort_paths(paths: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """(data, models) among ``paths``."""
    models = [p for p in paths if os.path.isfile(os.path.join(p, BUNDLE_FILE))]
    files = [p for p in paths if p not in models]
    for path in files:
        if path.rstrip("/").endswith(".rom"):
            raise MissingFileError(
                f"no saved model at {path!r}. `romae fit ... -o {path}` writes it."
            )
    if not models or not files:
        missing = "saved model" if not models else "data file"
        raise OptionError(
            f"no {missing} among {', '.join(paths)}. Expected both: romae compare wake.nc pod.rom"
        )
    return files, models


def model_names(paths: list[str]) -> dict[str, str]:
    """Short names that stay different: the folder's name, else its path."""
    short = [os.path.splitext(os.path.basename(os.path.normpath(p)))[0] for p in paths]
    return {n if short.count(n) == 1 else p: p for n, p in zip(short, paths, strict=True)}


def text_table(comparison: Any) -> str:
    """The numbers that a first look asks for."""
    from romae.cli.command import table
    from romae.fields.summary import human_bytes

    fields = [str(f) for f in comparison["field"].values]
    header = ["model", "k", *(f"error {f}" for f in fields), "size", "fit", "encode/s", "decode/s"]
    rows = []
    for name in comparison["model"].values:
        one = comparison.sel(model=name)
        rows.append(
            [
                str(name),
                str(int(one["latent"])),
                *(f"{float(one['error'].sel(field=f)):.3g}" for f in fields),
                human_bytes(float(one["nbytes"])),
                f"{float(one['fit_seconds']):.3g} s",
                f"{float(one['encode_rate']):.3g}",
                f"{float(one['decode_rate']):.3g}",
            ]
        )
    return table(header, rows)


def records(comparison: Any) -> list[dict[str, Any]]:
    """One dictionary per model."""
    from romae.compare import table

    return table(comparison).reset_index().to_dict(orient="records")
