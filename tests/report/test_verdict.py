"""Sentences follow from the numbers, also when POD wins."""

import numpy as np
import pytest
import xarray as xr

from romae.report.verdict import rate_text, seconds_text, verdict


def comparison(rows):
    """``rows``: (family, k, error)."""
    errors = np.array([[e, e] for _, _, e in rows])
    return xr.Dataset(
        {
            "error": (("model", "field"), errors),
            "latent": ("model", [k for _, k, _ in rows]),
            "fit_seconds": ("model", [1.0 if f == "POD" else 40.0 for f, _, _ in rows]),
            "decode_rate": ("model", [2e4 for _ in rows]),
        },
        coords={
            "model": [f"{f} k={k}" for f, k, _ in rows],
            "family": ("model", [f for f, _, _ in rows]),
            "field": ["u", "all"],
        },
        attrs={"leak": ""},
    )


POD = [("POD", 1, 0.7), ("POD", 2, 0.22), ("POD", 8, 0.02), ("POD", 16, 7e-4), ("POD", 24, 2e-5)]


def test_autoencoder_against_pod():
    found = verdict(comparison([*POD, ("PODAutoencoder", 2, 3.4e-4)]))
    assert found[0] == (
        "PODAutoencoder with 2 numbers per snapshot has 0.034 % error, POD with 2 has 22 %. "
        "POD needs 17 to 24 modes for the same."
    )
    assert found[1].startswith("At k = 24 and above POD wins")
    assert "40 s, POD 1 s" in found[2]
    assert "20 000 snapshots per second" in found[2]


def test_best_of_each_family_comes_first():
    rows = [*POD, ("B", 2, 0.05), ("B", 4, 0.01), ("A", 2, 0.03)]
    found = verdict(comparison(rows))
    assert found[0].startswith("B with 4 numbers")
    assert found[1].startswith("A with 2 numbers")


def test_pod_wins_at_the_same_size():
    found = verdict(comparison([*POD, ("A", 8, 0.05)]))
    assert found[0] == (
        "A with 8 numbers per snapshot has 5 % error. POD wins at this size: with 8 it has 2 %."
    )
    assert found[1].startswith("At k = 8 and above POD wins")


def test_pod_wins_everywhere_or_nowhere():
    assert verdict(comparison([*POD, ("A", 1, 0.9)]))[1] == "POD wins at every size compared here."
    found = verdict(comparison([*POD, ("A", 2, 1e-6)]))
    assert "needs more than 24 modes" in found[0]
    assert found[1].startswith("Up to k = 24 POD is less accurate")


def test_pod_alone_and_no_pod():
    assert "No other model" in verdict(comparison(POD))[0]
    assert any("No POD was compared" in s for s in verdict(comparison([("A", 2, 0.1)])))


def test_leak_is_said():
    ds = comparison(POD)
    ds.attrs["leak"] = "POD k=24: the training data themselves"
    assert verdict(ds)[-1].startswith("Caution")


def forecasts(valid, errors, kinds):
    lead = np.arange(1, 5) * 0.5
    names = list(valid)
    curve = np.array([[[e, e]] * 4 for e in errors])
    return xr.Dataset(
        {
            "error_median": (("model", "lead", "field"), curve),
            "valid_time_median": ("model", list(valid.values())),
            "valid_to_the_end": ("model", [float(v >= 2) for v in valid.values()]),
        },
        coords={
            "model": names, "kind": ("model", kinds), "lead_time": ("lead", lead),
            "field": ["u", "all"], "start": [0, 1],
        },
        attrs={"threshold": 0.4, "time_units": "s"},
    )  # fmt: skip


def test_forecast():
    ds = forecasts({"A + GRU": 2.0, "persistence": 0.5}, [0.1, 0.9], ["model", "baseline"])
    assert verdict(comparison(POD), ds)[-1] == (
        "The forecast of A + GRU stays below 40 % error for all 2 s of the test (median of 2 "
        "starts); persistence for 0.5 s."
    )


def test_a_baseline_that_wins_is_named():
    ds = forecasts({"A + GRU": 1.0, "POD k=8 + DMD": 2.0}, [0.5, 0.1], ["model", "baseline"])
    assert verdict(comparison(POD), ds)[-1] == (
        "POD k=8 + DMD forecasts better than every reduced model compared here."
    )


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.123, "0.12 s"), (45, "45 s"), (438, "7.3 min"), (7300, "2 h")]
)
def test_seconds(seconds, text):
    assert seconds_text(seconds) == text


def test_rates():
    assert [rate_text(v) for v in (12345, 98.7, 1.234, 7.6e6)] == [
        "12 000", "99", "1.2", "7 600 000",
    ]  # fmt: skip
