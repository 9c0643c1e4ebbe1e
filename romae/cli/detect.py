"""``romae detect``: snapshots unlike those that a model was fitted to."""

from pathlib import Path
from typing import Any

import click

from romae.cli.command import Result, command, table
from romae.cli.encode import model_argument, reducer_of
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    output_option,
    overwrite_option,
    parts,
    split_options,
)

MARKER = "detection.nc"


@command("detect")
@model_argument
@files_argument
@output_option("Folder for detection.nc, deviations.nc and the figures.")
@click.option("--validation", multiple=True, metavar="FILE",
              help="Ordinary snapshots, for the threshold; not those of the fit.")  # fmt: skip
@click.option("--quantile", type=float, default=0.99, show_default=True,
              help="Share of ordinary snapshots below the threshold.")  # fmt: skip
@click.option("--smooth", type=float, default=2.0, show_default=True,
              help="Width of the disturbances looked for, in grid points.")  # fmt: skip
@click.option("--labels", metavar="FILE.nc", help="Variable `label` over time: 1 where anomalous.")
@click.option("--maps", type=click.IntRange(min=1), default=4, show_default=True,
              help="Worst snapshots drawn.")  # fmt: skip
@split_options
@data_options
@device_option
@overwrite_option
def detect(
    model: str,
    files: tuple[str, ...],
    output: str,
    validation: tuple[str, ...],
    quantile: float,
    smooth: float,
    labels: str | None,
    maps: int,
    split: Any,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Find the snapshots in FILES that the model cannot reproduce.

    \b
    romae detect wake.rom new.nc --validation ordinary.nc -o found
    romae detect wake.rom wake.nc --split 0.7,0.15,0.15 -o found

    The threshold is a quantile of the scores of ordinary snapshots: --validation, or with --split
    the middle part, the last being looked through. deviations.nc has the maps of what is flagged.
    """
    import romae
    from romae.errors import OptionError
    from romae.files import atomic_directory, check_output

    check_output(output, "directory", overwrite=overwrite, marker=MARKER)
    reducer = reducer_of(romae.load(model)).to(device)
    _, ordinary, test = parts(data.open(files), split)
    if validation:
        ordinary = data.open(validation)
    if ordinary is None:
        raise OptionError(
            "no ordinary snapshots for the threshold. Type --validation ordinary.nc, or "
            "--split 0.7,0.15,0.15 with the fractions that `romae fit` got."
        )
    marks = None if labels is None else read_labels(labels)
    found = romae.detect(reducer, test, validation=ordinary, quantile=quantile,
                         labels=marks, smooth=smooth)  # fmt: skip
    with atomic_directory(output, overwrite=overwrite, marker=MARKER) as folder:
        _write(found, reducer.layout, folder, maps)
    return _report(found, output)


def read_labels(path: str) -> Any:
    """The variable ``label`` in the file ``path``."""
    from romae.errors import DataError
    from romae.fields.kinds import Opening, open_path
    from romae.fields.paths import expand

    dataset = open_path(expand(path)[0], Opening()).load()
    if "label" not in dataset:
        found = ", ".join(map(str, dataset.data_vars)) or "none"
        raise DataError(
            f"{path}: no variable 'label' (variables: {found}). Expected one over time, 1 where a "
            f"snapshot is anomalous and 0 elsewhere."
        )
    return dataset["label"]


def _write(found: Any, layout: Any, folder: Path, maps: int) -> None:
    from romae.conventions import TIME
    from romae.fields.writing import write_fields
    from romae.report.figures import anomaly_maps, anomaly_scores, png, svg

    write_fields(found.drop_vars("deviation"), folder / MARKER)
    flagged = found["flagged"].sel(kind="local")
    some = flagged.any([d for d in flagged.dims if d != TIME]).values
    if some.any():
        maps_of = found["deviation"].isel({TIME: some}).to_dataset(name="deviation")
        write_fields(maps_of, folder / "deviations.nc")
    figures = {"scores": anomaly_scores(found), "maps": anomaly_maps(found, layout, count=maps)}
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(png(figure))
        (folder / f"{name}.svg").write_text(svg(figure), encoding="utf-8")


def _report(found: Any, output: str) -> Result:
    header, kinds = ["score", "flagged", "threshold"], []
    if "auc" in found:
        header += ["area under ROC", "calibrated threshold"]
    for kind in found["kind"].values:
        one = found.sel(kind=kind)
        facts = {"kind": str(kind), "flagged": int(one["flagged"].sum()),
                 "threshold": float(one["threshold"])}  # fmt: skip
        if "auc" in found:
            facts |= {"auc": float(one["auc"]),
                      "calibrated_threshold": float(one["calibrated_threshold"])}  # fmt: skip
        kinds.append(facts)
    rows = [[f if isinstance(f, str) else f"{f:.4g}" for f in k.values()] for k in kinds]
    total = int(found["score"].sel(kind="local").notnull().sum())
    text = table(header, rows) + f"\n{total} snapshots; wrote {Path(output) / 'scores.png'}"
    return Result(text, {"output": output, "snapshots": total, "scores": kinds})
