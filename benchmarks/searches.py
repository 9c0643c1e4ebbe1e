"""Time of the searches of SINDy and LatentGP: fits on Burgers (tiny), POD k = 8 and 16.

    OMP_NUM_THREADS=1 python benchmarks/searches.py [sindy latentgp] [--latent 8 16] [--repeat 1]

Seconds of processor time of one thread, the best of the repeats, and what was chosen. A first
fit of each model on two latents compiles and is not counted. With ``PYTHONPATH`` set to another
checkout it measures that one.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np

import romae
from romae.cases import make_case

DATA = Path(__file__).parent / "data" / "forecasts-burgers-tiny.nc"
MAKE = {"sindy": romae.SINDy, "latentgp": romae.LatentGP}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=list(MAKE))
    parser.add_argument("--latent", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--repeat", type=int, default=1)
    given = parser.parse_args()
    if not DATA.exists():
        DATA.parent.mkdir(exist_ok=True)
        make_case("burgers", "tiny", DATA)
    train, _, _ = romae.open_snapshots(DATA).split(0.6, 0.2, 0.2, by="case")
    for latent in [2, *given.latent]:
        z = romae.POD(latent).fit(train).encode(train)
        for name in given.models:
            known = {"params": train.params} if name == "latentgp" else {}
            seconds = []
            for _ in range(given.repeat if latent > 2 else 1):
                model, begin = MAKE[name](), time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(z, **known)
                seconds.append(time.process_time() - begin)
            if latent > 2:
                print(
                    f"{name:9} k = {latent:2}  {min(seconds):7.2f} s  chosen "
                    f"{np.array2string(np.atleast_1d(model.chosen), precision=3)}  "
                    f"best {model.history[0]['horizon']:.3g} steps",
                    flush=True,
                )


if __name__ == "__main__":
    main()
