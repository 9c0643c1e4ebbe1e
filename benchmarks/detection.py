"""Anomalies in a wake: a weak vortex drifts through, and who notices it, and where.

    python benchmarks/detection.py [--size tiny|demo] [--file wake.nc] [--seeds 3]
    python benchmarks/detection.py --size demo --figure docs/images/detection.png

Data: the cylinder wake, split in time 0.6 / 0.2 / 0.2 for the fit, the threshold and the test.
Disturbance: a Gaussian vortex of core radius r0 = 0.35 diameters,

    (u', v') = A sqrt(e) exp(-r² / (2 r0²)) (-(y - yc), x - xc) / r0,     largest speed A

carried once across the window in the middle third of the test snapshots, at a random height.
Fit and threshold never see one. Printed: area under ROC of both scores and of the plain mean
squared error in physical units, false alarms at the threshold of the validation data, and the
median distance of the place found from the vortex, in diameters; medians over seeds.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import romae
from romae.compare.roc import auc
from romae.reducers import TrainConfig

RADIUS = 0.35


def disturbed(test, amplitude, seed):
    """(Dataset with the vortex in its middle third, labels (T,), centres (T, 2) as y, x)."""
    data = test.to_dataset()[["u", "v"]].load()
    x, y = data["x"].values, data["y"].values
    labels = np.zeros(data.sizes["time"], dtype=bool)
    labels[len(labels) // 3 : 2 * len(labels) // 3] = True
    yc = np.random.default_rng(seed).uniform(0.6 * y[0], 0.6 * y[-1])
    xc = np.full(len(labels), np.nan)
    xc[labels] = np.linspace(x[0] + 1, x[-1] - 1, labels.sum())
    dx, dy = (x - xc[:, None])[:, None, :] / RADIUS, ((y - yc) / RADIUS)[None, :, None]
    gauss = amplitude * np.exp(0.5 - 0.5 * (dx**2 + dy**2))
    for name, shape in (("u", -dy), ("v", dx)):
        bump = np.nan_to_num(gauss * shape)
        data[name] = data[name] + bump.astype(data[name].dtype)
    return data, labels, np.stack([np.where(labels, yc, np.nan), xc], axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--file", help="the wake, if it is there already")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1500, help="of training")
    parser.add_argument("--smooth", type=float, default=2.0)
    parser.add_argument("--figure", help="draw the maps of the autoencoder there instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or romae.make_case("cylinder", options.size, Path(folder) / "wake.nc")
        (table if options.figure is None else figure)(path, options)


def figure(path, options):
    from romae.report.figures import anomaly_maps, png

    train, validation, test = romae.open_snapshots(path, variables=["u", "v"]).split(0.6, 0.2, 0.2)
    config = TrainConfig(steps=options.steps)
    model = romae.PODAutoencoder(2, train=config).fit(train, validation=validation)
    data, _, _ = disturbed(test, 0.02, 0)
    found = romae.detect(model, data, validation=validation, smooth=options.smooth)
    Path(options.figure).write_bytes(png(anomaly_maps(found, model.layout)))


def table(path, options):
    train, validation, test = romae.open_snapshots(path, variables=["u", "v"]).split(0.6, 0.2, 0.2)
    print(f"{len(train)} / {len(validation)} / {len(test)} snapshots of {train.layout.shape}")
    models = [romae.POD(k).fit(train) for k in (2, 4, 8)]
    config = TrainConfig(steps=options.steps)
    models.append(romae.PODAutoencoder(2, train=config).fit(train, validation=validation))
    print("| model | A | AUC mse | AUC global | AUC local | false alarms, local | distance |")
    print("|---|---|---|---|---|---|---|")
    for model in models:
        for amplitude in (0.01, 0.02, 0.05, 0.1):
            rows = [
                one(model, validation, test, amplitude, seed, options)
                for seed in range(options.seeds)
            ]
            cells = " | ".join(f"{v:.3g}" for v in np.median(rows, axis=0))
            print(f"| {model.name} k={model.latent} | {amplitude:.0%} | {cells} |", flush=True)


def one(model, validation, test, amplitude, seed, options):
    data, labels, centre = disturbed(test, amplitude, seed)
    found = romae.detect(model, data, validation=validation, labels=labels, smooth=options.smooth)
    back = model.reconstruct(data)
    mse = sum(((back[n] - data[n]) ** 2).mean(("y", "x")) for n in ("u", "v")).values
    local = found.sel(kind="local")
    place = np.stack([found["at_y"], found["at_x"]], axis=1)
    return (
        auc(mse, labels),
        found["auc"].sel(kind="global"),
        local["auc"],
        local["flagged"].values[~labels].mean(),
        np.median(np.linalg.norm(place - centre, axis=1)[labels]),
    )


if __name__ == "__main__":
    main()
