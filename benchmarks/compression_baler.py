"""Baler (Bengtsson Akarstrom et al. 2023) on the data of the compression benchmark.

    python benchmarks/compression_baler.py cylinder ks       # appends to results/compression.jsonl
    python benchmarks/compression.py cylinder --bounds R --rows SZ3 "romae auto 64"

Run the first line where `baler-compressor` 0.0.6, torch, scikit-learn, numba and tqdm are installed
(the package names none of them as requirements), the second where romae is; R is the `rel` that the
first prints: the largest error that Baler made, over the range of its field.

Baler trains an autoencoder on the data that it is to compress. It has no bound: the latents are
float32, and what they miss stays missed (its code for corrections is commented out in 0.0.6). So
a row here stands at the bound that it happened to keep. Steps and settings are those of the
example in its source distribution (train, compress, decompress; dense network of its collection of
models, Adam at 1e-3, no normalisation), except what is listed in :data:`VARIANTS`. Its bytes: the
compressed file, zipped by numpy as its example does, and the model that it saves, in which the
encoder is half; `shared` counts latents only, for many files with one model.

Whole snapshots are wide: the first and the last matrix have 200 times as many weights as a
snapshot has values, more than the data. So snapshots are also cut into tiles, which Baler takes
for small snapshots (its own blocks cannot be decompressed: it reshapes them to the shape before).
"""

import argparse
import contextlib
import datetime
import io
import itertools
import json
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
VARIANTS = {  # side of a tile (0: whole), epochs, batch
    "snapshots": (0, 10, 75),  # as in its example
    "snapshots, longer": (0, 100, 75),
    "tiles": (8, 5, 1024),
}
RATIO = {"cylinder": 1000, "ks": 16}  # values of a snapshot over latents: 1000 in its example
TILES = 16  # the same for tiles: 4 latents


def frames(x: np.ndarray, side: int) -> np.ndarray:
    """(frames, rows, columns) of (T, C, [rows,] columns): fields one above the other, or tiles."""
    x = x.reshape(len(x), -1, x.shape[-1])  # fields above each other
    if not side:
        return x
    if x.shape[1] < side:
        return np.ascontiguousarray(x.reshape(-1, side, side))
    n, rows, columns = x.shape
    tiles = x.reshape(n, rows // side, side, columns // side, side).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(tiles.reshape(-1, side, side))


def unframed(y: np.ndarray, shape: tuple[int, ...], side: int) -> np.ndarray:
    """The array of ``shape`` from its frames."""
    n, rows, columns = shape[0], int(np.prod(shape[1:-1])), shape[-1]
    if side and rows >= side:
        y = y.reshape(n, rows // side, columns // side, side, side).transpose(0, 1, 3, 2, 4)
    return y.reshape(shape)


def network():  # type: ignore[no-untyped-def]
    """The dense network of Baler's collection: 200, 100, 50, latents and back."""
    from torch import nn

    class Dense(nn.Module):
        def __init__(self, features: int, latents: int) -> None:
            super().__init__()
            sizes = [features, 200, 100, 50, latents]
            self.encoder, self.decoder = self.chain(sizes), self.chain(sizes[::-1])

        @staticmethod
        def chain(sizes: list[int]) -> nn.Sequential:
            layers: list[nn.Module] = []
            for a, b in itertools.pairwise(sizes):
                layers += [nn.Linear(a, b), nn.LeakyReLU()]
            return nn.Sequential(*layers[:-1])

        def encode(self, x):  # type: ignore[no-untyped-def]
            return self.encoder(x)

        def decode(self, z):  # type: ignore[no-untyped-def]
            return self.decoder(z)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.decoder(self.encoder(x))

    return Dense


def run(name: str, x: np.ndarray, variant: str) -> dict:
    """One row: bytes, ratio, largest error over the range of its field, seconds."""
    import torch
    from baler_compressor import compressor, decompressor, trainer
    from baler_compressor.config import Config

    side, epochs, batch = VARIANTS[variant]
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        source, model, out = (f"{folder}/{n}" for n in ("data.npz", "model.pt", "compressed.npz"))
        np.savez(source, data=frames(x, side), names=np.array(["f"]))
        c = Config()
        c.input_path, c.output_path, c.model, c.model_type = source, folder, network(), "dense"
        c.compression_ratio, c.lr = TILES if side else RATIO[name], 1e-3
        c.epochs, c.batch_size = epochs, batch
        c.early_stopping, c.early_stopping_patience, c.min_delta = False, 100, 0
        c.lr_scheduler = False  # passes `verbose`, which torch 2.13 does not take
        c.custom_norm, c.l1, c.reg_param, c.RHO = True, True, 1e-3, 0.05
        c.test_size, c.data_dimension, c.apply_normalization = 0.2, 2, False
        c.deterministic_algorithm = c.verbose = False
        start = time.perf_counter()
        fitted, features, _ = trainer.run(source, c)
        torch.save(fitted.state_dict(), model)
        trained = time.perf_counter()
        latents, names, shape = compressor.run(source, model, features, c)
        np.savez_compressed(
            out, data=latents, names=names, normalization_features=[], original_shape=shape
        )
        coded = time.perf_counter()
        decoded, _, _ = decompressor.run(model, out, c)
        end = time.perf_counter()
        sizes = [Path(p).stat().st_size for p in (out, model)]
    axes = (0, *range(2, x.ndim))
    gap = np.abs(unframed(decoded, x.shape, side).astype(np.float64) - x)
    worst = float(np.max(gap.max(axis=axes) / np.ptp(x.astype(np.float64), axis=axes)))
    return {
        "row": f"Baler {variant}",
        "rel": float(f"{worst:.3g}"),
        "ratio": x.nbytes / sum(sizes),
        "shared": x.nbytes / sizes[0],
        "bytes": sum(sizes),
        "worst": 1.0,
        "held": None,  # there is none
        "rms": float(np.sqrt(np.mean(gap**2))),
        "wall": [trained - start, coded - trained, end - coded],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", choices=RATIO)
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    given = parser.parse_args()
    for name in given.data:
        x = np.load(HERE / "data" / "compression" / f"{name}.npy")
        for variant in given.variants:
            line = json.dumps({"data": name, **run(name, x, variant)})
            with (HERE / "results" / "compression.jsonl").open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
