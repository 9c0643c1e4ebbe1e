"""``romae fit``: snapshots in, a fitted model out."""

from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.inputs import check_inputs, input_parts, number_or_text
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    output_option,
    overwrite_option,
    parts,
    set_option,
    split_options,
)
from romae.errors import OptionError

AUTO = "auto"


@command("fit")
@click.argument("kind", metavar="KIND")
@files_argument
@output_option("Model to write, a directory such as wake.rom.")
@click.option("--latent", metavar="K", help="Latent size; for pod also an energy fraction.")
@click.option(
    "--dynamics", metavar="dmd|gru|auto", help="Fit these on the latents too; auto: the best."
)
@click.option(
    "--inputs", metavar="FILE", help="With --dynamics: series over time that force the latents."
)
@click.option(
    "--resample",
    metavar="STEP",
    help="With --dynamics, for uneven times: a step such as '6 h', or median.",
)
@set_option
@click.option(
    "--checkpoint", metavar="DIR", help="Where a killed training is kept and goes on from."
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Fit pod on the dask cluster at this address or file."
)
@split_options
@data_options
@device_option
@overwrite_option
def fit(
    kind: str,
    files: tuple[str, ...],
    output: str,
    latent: str | None,
    dynamics: str | None,
    inputs: str | None,
    resample: str | None,
    settings: tuple[str, ...],
    checkpoint: str | None,
    scheduler: str | None,
    split: Any,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Fit a model to the snapshots in FILES.

    \b
    romae fit pod wake.nc -o pod.rom --latent 8
    romae fit pod-ae wake.nc -o ae.rom --latent 2 --set train.steps=2000
    romae fit conv wake.nc -o wake.rom --latent 2 --dynamics gru --set dynamics.hidden=32
    romae fit pod sea.nc -o sea.rom --latent 4 --dynamics echo --inputs wind.nc --resample '6 h'
    romae fit pod 'archive-*.nc' -o pod.rom --latent 128 --scheduler tcp://10.0.0.1:8786

    KIND is one of:

    \b
    pod, quadratic             linear; linear encoder and quadratic decoder
    pod-ae, conv, dense        networks in POD coordinates, on the grid, on the values
    linear, stacked, sequence  linear layers; layers trained one by one; windows of snapshots
    conditional, cvae          told the parameters of the cases
    vae, vqvae, sparse,        pod-ae (masked: conv) with a bottleneck, objective or corruption
    contractive, rank,         of its own; --set network=conv for another network
    denoising, masked
    aligned                    another one (--set inner=pod-ae) behind an alignment along
                               periodic axes (--set axes=x; all of them otherwise)

    \b
    romae fit aligned flow.nc -o flow.rom --latent 8 --set axes=x --set inner=pod

    --set takes the arguments of the reducer (aligned: axes, inner and those of the one inside), and
    after `dynamics.` those of the dynamics. --latent of aligned counts two for each axis.
    """
    from romae.config import COMMAND, apply_settings
    from romae.files import check_output
    from romae.kinds import make_reducer
    from romae.train.ranks import here

    first = here().first  # of the processes that torchrun starts, this one writes
    if first:
        check_output(output, "directory", overwrite=overwrite)
    options = apply_settings({}, settings)
    dynamics_options = options.pop("dynamics", {})
    reducer = make_reducer(kind, latent_size(latent), options, where=COMMAND)
    steps = new_dynamics(dynamics, dynamics_options, device, inputs, resample)
    cluster = {} if scheduler is None else {"client": scheduler}
    if cluster and reducer.name != "POD":
        raise OptionError(
            f"--scheduler with {kind!r}: only pod is fitted on a cluster. Leave --scheduler out."
        )
    snapshots = data.open(files)
    train, validation, _ = parts(snapshots, split)
    assert train is not None
    known = input_parts(inputs, snapshots, split)
    if known is not None:
        check_inputs(known, [train, validation])
        if steps == AUTO and known[0] is not known[1]:
            raise OptionError(
                "--dynamics auto and --inputs by case with --split-by case: each part has inputs "
                "of its own. Expected one series for all cases, or --split-by time; or choose "
                "with romae forecast --compare."
            )
    model = reducer.fit(train, validation, device=device, checkpoint=checkpoint, **cluster)
    if not first:
        return Result("")
    if steps is not None:
        model = with_dynamics(reducer, steps, train, validation, known, resample, device)
    model.save(output, overwrite=overwrite)
    return _report(model, reducer, len(train), output)


def new_dynamics(
    kind: str | None,
    options: dict[str, Any],
    device: str,
    inputs: str | None,
    resample: str | None,
) -> Any:
    """Unfitted dynamics, "auto", or None; what does not go together is found here."""
    from romae.config import COMMAND
    from romae.kinds import make_dynamics

    for name, value in (("--inputs", inputs), ("--resample", resample)):
        if value is not None and kind is None:
            raise OptionError(
                f"{name} {value!r} without --dynamics: a reducer alone knows no time. Type "
                f"--dynamics echo, or leave {name} out."
            )
    if kind is None:
        return None
    if kind == AUTO:
        if options:
            raise OptionError(
                f"--set dynamics.{next(iter(options))} with --dynamics auto, which chooses among "
                "models as they are. Name the model, such as --dynamics gru, or leave it out."
            )
        return AUTO
    made = make_dynamics(kind, options, device=device, where=f"{COMMAND} dynamics")
    if inputs is not None and "inputs" not in made.takes:
        raise OptionError(
            f"--inputs with --dynamics {kind}: {made.name} takes no inputs. Expected a model that "
            "does, such as --dynamics opinf, echo or gru; or leave --inputs out."
        )
    return made


def with_dynamics(
    reducer: Any,
    steps: Any,
    train: Any,
    validation: Any,
    known: list[Any] | None,
    resample: str | None,
    device: str,
) -> Any:
    """The reduced model of the fitted ``reducer``; ``known``: inputs of each part."""
    from romae.model import ReducedModel

    step, model = number_or_text(resample), ReducedModel(reducer, steps)
    first, second = (None, None) if known is None else (known[0], known[1])
    if steps == AUTO or first is second:
        return model.fit(train, validation, inputs=first, resample=step, device=device)
    model.fit(train, inputs=first, resample=step, device=device)
    if validation is not None:
        model.measure(validation, inputs=second, resample=step)
    return model


def latent_size(text: str | None) -> int | float | None:
    """``"8"`` is a size, ``"0.99"`` an energy fraction."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no number. Type a latent size such as 8, or for pod an energy fraction "
            "such as 0.99.",
            param_hint="--latent",
        ) from None


def _report(model: Any, reducer: Any, snapshots: int, output: str) -> Result:
    from romae.fields.summary import human_bytes
    from romae.progress import format_info, format_seconds

    last = reducer.history[-1] if reducer.history else {}
    dynamics = model.dynamics if model is not reducer else None
    horizon = getattr(model, "horizon", None)
    facts = {
        "model": output,
        "reducer": reducer.name,
        "latent": reducer.latent,
        "dynamics": dynamics.name if dynamics is not None else None,
        "snapshots": snapshots,
        "fit_seconds": reducer.fit_seconds + (dynamics.fit_seconds if dynamics is not None else 0),
        "horizon": horizon.to_state() if horizon is not None else None,
        "bytes": model.nbytes,
        "last": last,
        "findings": getattr(reducer, "findings", {}),
    }
    name = " + ".join(filter(None, [f"{reducer.name} k={reducer.latent}", facts["dynamics"]]))
    lines = [
        f"{name}: {snapshots} snapshots, {format_seconds(facts['fit_seconds'])}, "
        f"{human_bytes(model.nbytes)}",
        format_info({**last, **facts["findings"]}),
        "" if horizon is None else f"forecasts {horizon}",
        f"wrote {output}",
    ]
    return Result("\n".join(filter(None, lines)), facts)
