"""The ``romae`` command. One file per command, loaded when it is called.

Exit status: 0 all is well; 1 a check failed (or an unexpected error, with its
traceback); 2 wrong use, with one line that says what to type.
"""

import click

from romae import __version__
from romae.cli.lazy import LazyGroup

_COMMANDS = {
    "data": "romae.cli.data:data",
    "info": "romae.cli.info:info",
    "modes": "romae.cli.modes:modes",
    "fit": "romae.cli.fit:fit",
    "encode": "romae.cli.encode:encode",
    "decode": "romae.cli.decode:decode",
    "denoise": "romae.cli.denoise:denoise",
    "compare": "romae.cli.compare:compare",
    "sweep": "romae.cli.sweep:sweep",
    "forecast": "romae.cli.forecast:forecast",
    "compress": "romae.cli.compress:compress",
    "decompress": "romae.cli.decompress:decompress",
    "verify": "romae.cli.verify:verify",
    "pack": "romae.cli.pack:pack",
    "detect": "romae.cli.detect:detect",
    "map": "romae.cli.map:map_",
    "run": "romae.cli.run:run",
    "doctor": "romae.cli.doctor:doctor",
}


@click.group(cls=LazyGroup, commands_at=_COMMANDS, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="romae")
def main() -> None:
    """Reduced-order models of simulation fields, always measured against POD.

    \b
    romae data make cylinder -o wake.nc
    romae fit pod wake.nc -o pod.rom --latent 8 --split 0.7,0.15,0.15
    romae compare wake.nc pod.rom -o report --split 0.7,0.15,0.15
    """
