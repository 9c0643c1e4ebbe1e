"""A fitted POD brought up to date with new snapshots: see :mod:`romae.linalg.incremental`."""

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from romae.fields import Snapshots, survey
from romae.linalg.incremental import Known, resume
from romae.linalg.incremental import update as take_in
from romae.linalg.rows import Checkpoint
from romae.reducers import labels
from romae.reducers.linear import LinearCoder, linear_coder
from romae.reducers.pod import POD
from romae.reducers.pod_data import rows


def update(pod: POD, snapshots: Snapshots, folder: Path | None) -> None:
    """Take in ``snapshots``: what :meth:`POD.update` says."""
    module = pod._ready()
    assert isinstance(module, LinearCoder)
    pod.layout.check_same(snapshots.layout, f"{pod.name}.update")
    started = time.perf_counter()
    survey(snapshots)
    description = labels.describe(snapshots)
    root = np.sqrt(pod.layout.quadrature)
    factor = (root / pod.scaling.columns).reshape(-1)
    root = root.reshape(-1)
    stored = module.modes.cpu().numpy().astype(np.float64) * root
    s = np.asarray(pod.singular_values, dtype=np.float64)
    total = float(np.sum(s**2)) if pod.total is None else pod.total
    mean = pod.scaling.mean.reshape(-1)
    known = Known(mean, stored, s[: pod.latent], pod.training["snapshots"], total)
    fingerprints = [pod.training["fingerprint"], description["fingerprint"]]
    saved = Checkpoint(folder, {"of": fingerprints, "rank": pod.rank})
    known, first = resume(known, saved)
    known = take_in(known, rows(snapshots, first), factor, pod.rank, checkpoint=saved)
    modes = np.divide(known.modes, root, out=np.zeros_like(known.modes), where=root > 0)
    device = pod.device
    pod.module = linear_coder(pod.layout, modes).to(device).eval()
    pod.scaling = replace(pod.scaling, mean=known.mean.reshape(pod.scaling.mean.shape))
    pod.singular_values, pod.total = known.s, known.total
    pod.latent = len(known.s)
    pod.training = pod.training | {
        "source": f"{pod.training['source']}; {description['source']}",
        "fingerprint": hashlib.sha256("".join(fingerprints).encode()).hexdigest(),
        "snapshots": known.count,
        "cases": pod.training["cases"] + description["cases"],
        "last_time": description["last_time"],
    }
    pod.fit_seconds += time.perf_counter() - started
    saved.remove()
