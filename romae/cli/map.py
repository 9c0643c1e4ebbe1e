"""``romae map``: the latents of snapshots as a picture."""

from pathlib import Path

import click

from romae.cli.command import Result, command
from romae.cli.encode import model_argument, reducer_of
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    output_option,
    overwrite_option,
)


@command("map")
@model_argument
@files_argument
@output_option("Picture: .png or .svg.")
@click.option("--method", type=click.Choice(["pca", "tsne", "umap"]), default="pca",
              show_default=True, help="tsne and umap need the extra romae[maps].")  # fmt: skip
@click.option("--colour", default="time", show_default=True, metavar="NAME",
              help="What colours the dots: time, or a parameter of the cases.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of tsne and umap.")
@data_options
@device_option
@overwrite_option
def map_(
    model: str,
    files: tuple[str, ...],
    output: str,
    method: str,
    colour: str,
    seed: int,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Draw the latents of the snapshots in FILES in two dimensions.

    \b
    romae map wake.rom wake.nc -o map.png
    romae map flow.rom 'runs/*.nc' --cases file --colour Re -o map.svg

    One dot per snapshot; a line joins those of a case. pca keeps distances, tsne and umap keep
    neighbours.
    """
    import romae
    from romae.errors import OptionError
    from romae.files import atomic_file, check_output
    from romae.report.figures import latent_map_figure, png, svg

    kind = Path(output).suffix
    if kind not in (".png", ".svg"):
        raise OptionError(f"output {output!r} ends in {kind!r}. Expected .png or .svg")
    check_output(output, "file", overwrite=overwrite)
    reducer = reducer_of(romae.load(model)).to(device)
    found = romae.latent_map(reducer, data.open(files), method=method, seed=seed)  # type: ignore[arg-type]
    figure = latent_map_figure(found, colour=colour)
    with atomic_file(output, overwrite=overwrite) as temporary:
        temporary.write_bytes(png(figure) if kind == ".png" else svg(figure).encode())
    count = int(found["first"].notnull().sum())
    return Result(f"wrote {output}  ({count} snapshots, {method})",
                  {"picture": output, "snapshots": count, "method": method})  # fmt: skip
