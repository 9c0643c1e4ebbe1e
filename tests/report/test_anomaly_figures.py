"""Figures of anomalies and of sweeps in one, two and three dimensions."""

import numpy as np
import pytest
import xarray as xr

from romae.compare import detect
from romae.report.figures import anomaly_maps, anomaly_scores, sweep_curve
from romae.report.figures.anomalies import worst


@pytest.mark.slow
def test_anomalies_in_every_dimension(any_study):
    ordinary, new = any_study.test.split(0.5, 0.5)
    labels = np.arange(len(new)) > 6
    for model in any_study.models:
        found = detect(model, new, validation=ordinary, labels=labels)
        for figure in (anomaly_scores(found), anomaly_maps(found, model.layout, count=2)):
            figure.draw_without_rendering()
            shown = [ax for ax in figure.axes if ax.get_visible()]
            assert any(ax.get_xlabel() for ax in shown)
            assert any(ax.get_ylabel() for ax in shown)
    titles = [ax.get_title() for ax in anomaly_scores(found).axes]
    assert sum("area under ROC" in t for t in titles) == 2
    assert not any("ROC" in ax.get_title() for ax in
                   anomaly_scores(detect(model, new, validation=ordinary)).axes)  # fmt: skip


def test_the_worst_snapshots_are_apart():
    score = np.array([0, 9, 8, 7, 0, 0, 0, 5, 0, 0, 0, np.nan, 3, 0, 0, 0.0])
    assert worst(score, 2).tolist() == [1, 7]
    assert worst(score, 1).tolist() == [1]
    assert len(worst(np.full(4, np.nan), 2)) == 0


def test_a_sweep_is_drawn_with_its_elbow():
    sizes = [1, 2, 4]
    error = np.array([[0.8, 0.4, 0.1], [0.5, 0.02, 0.015]])
    both = ("kind", "latent")
    share = [[0.0, 0.0, 1.0], [0.1, 0.9, 0.0]]
    result = xr.Dataset(
        {"error_median": (both, error), "error_lower": (both, 0.9 * error),
         "error_upper": (both, 1.1 * error), "elbow_share": (both, share),
         "elbow": ("kind", [0, 2]), "error": ((*both, "seed"), error[..., None] * [0.95, 1.05])},
        {"kind": ["pod", "conv"], "family": ("kind", ["POD", "ConvAutoencoder"]), "latent": sizes},
    )  # fmt: skip
    figure = sweep_curve(result)
    figure.draw_without_rendering()
    left, right = figure.axes
    rings = [line for line in left.lines if line.get_markersize() == 14]
    assert [tuple(r.get_xydata()[0]) for r in rings] == [(2, 0.02)]
    assert [t.get_text() for t in right.get_xticklabels()] == ["1", "2", "none"]
    assert max(p.get_height() for p in right.patches) == 100
