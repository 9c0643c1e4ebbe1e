"""Figures: complete, labelled, and without traces in the reader's matplotlib."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from romae.errors import OptionError
from romae.report import figures
from romae.report.figures import maps
from romae.report.figures.style import (
    PALETTE,
    RC,
    colours,
    label,
    legend_above,
    new_figure,
    percent,
)


def every(study):
    named = {"POD k=2": study.pod.truncate(2), "dense": study.dense}
    yield "error_curve", figures.error_curve(study.comparison)
    yield "error_bytes", figures.error_bytes(study.comparison)
    yield "energy_spectrum", figures.energy_spectrum(study.pod)
    yield "pod_modes", figures.pod_modes(study.pod, field="u")
    yield "training_curves", figures.training_curves({"dense": study.dense})
    yield "latents", figures.latents(named, study.test)
    yield "latents k=1", figures.latents({"one": study.pod.truncate(1)}, study.test)
    yield "forecast_error", figures.forecast_error(study.forecasts)
    for field in study.test.layout.names:
        yield f"fields {field}", figures.reconstructions(named, study.test, field=field)


@pytest.mark.slow
def test_every_figure_in_every_dimension(any_study):
    before = dict(mpl.rcParams)
    for name, figure in every(any_study):
        assert isinstance(figure, Figure), name
        figure.draw_without_rendering()
        shown = [ax for ax in figure.axes if ax.get_visible() and ax.get_label() != "<colorbar>"]
        assert any(ax.get_xlabel() for ax in shown), name
        assert any(ax.get_ylabel() for ax in shown), name
    assert dict(mpl.rcParams) == before


def test_texts_of_a_figure_do_not_overlap(plane):
    figure = figures.reconstructions(
        {"POD k=2": plane.pod.truncate(2), "dense": plane.dense}, plane.test, field="u"
    )
    figure.draw_without_rendering()
    boxes = [
        (t.get_text(), t.get_window_extent())
        for ax in figure.axes
        for t in (ax.title, ax.xaxis.label, ax.yaxis.label)
        if t.get_text() and t.get_visible()
    ]
    assert len(boxes) > 8
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            assert not a.overlaps(b), (one, other)


def test_original_and_reconstruction_share_a_scale_and_errors_are_symmetric(plane):
    figure = figures.reconstructions({"POD k=4": plane.pod}, plane.test, field="u")
    meshes = [ax.collections[0] for ax in figure.axes if ax.get_label() != "<colorbar>"]
    original, guess, fluctuation, error = meshes
    assert original.norm is guess.norm
    for mesh in (fluctuation, error):
        assert mesh.norm.vmin == -mesh.norm.vmax
    assert fluctuation.norm.vmax > error.norm.vmax


def test_masked_points_are_grey_and_outlined(plane):
    figure = figures.pod_modes(plane.pod, field="u", count=1)
    mesh, outline = figure.axes[0].collections
    assert mesh.get_array().mask.sum() == 9
    assert mesh.cmap(np.ma.masked) == pytest.approx(mpl.colors.to_rgba(maps.MASKED))
    assert len(outline.get_paths()[0].vertices) > 4


def test_training_curves_of_nothing(plane):
    with pytest.raises(OptionError, match="has a training curve"):
        figures.training_curves({"pod": plane.pod})


def test_svg_is_reproducible_and_png_is_one(plane):
    first, second = (figures.svg(figures.energy_spectrum(plane.pod)) for _ in range(2))
    assert first == second
    assert figures.png(figures.energy_spectrum(plane.pod)).startswith(b"\x89PNG")


def test_accessor_plots(plane):
    assert isinstance(plane.comparison.romae.plot(), Figure)
    assert isinstance(plane.forecasts.romae.plot(), Figure)


def test_fields_of_one_sign_get_a_sequential_map():
    assert maps.field_norm(np.array([280.0, 310.0]))[1] == "viridis"
    norm, cmap = maps.field_norm(np.array([-1.0, 0.5]))
    assert (norm.vmin, norm.vmax, cmap) == (-1, 1, "RdBu_r")


def test_large_grids_are_thinned():
    view = maps.View("", (0, slice(None), slice(None)), False, np.arange(2000.0),
                     np.arange(1500.0), ("x", "y"), True)  # fmt: skip
    figure = Figure()
    values = np.zeros((1, 1500, 2000))
    drawn = maps.draw(figure.subplots(), view, values, *maps.symmetric_norm(values))
    assert max(drawn.get_array().shape) <= maps.MOST


def test_curvilinear_grids_are_drawn_where_they_lie():
    from romae.fields import Field, Layout

    lon, lat = np.meshgrid(np.linspace(0, 3, 5), np.linspace(50, 52, 4))
    import xarray as xr

    coords = xr.Dataset(coords={"lon": (("j", "i"), lon + lat / 10), "lat": (("j", "i"), lat)})
    layout = Layout((Field("u"),), "time", ("j", "i"), (4, 5), coords=coords)
    view = maps.views(layout, np.zeros(1))[0]
    np.testing.assert_array_equal(view.x, lon + lat / 10)
    np.testing.assert_array_equal(view.y, lat)


def test_pod_is_black_and_others_differ():
    table = colours(["A", "POD", "B"])
    assert table["POD"][0] == "black"
    assert table["A"] != table["B"]
    assert table["A"][0] == PALETTE[0]


def test_words():
    assert label("u", "m/s") == "u [m/s]"
    assert label("u", "1") == "u"
    assert percent(0.5) == "50 %"
    assert percent(float("nan")) == "undefined"


@pytest.mark.slow
def test_comparing_loads_no_matplotlib():
    code = "import romae.compare, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    code = "import romae.report.figures, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("length", [3, 30, 70])
@pytest.mark.parametrize("count", [1, 4, 11])
def test_a_legend_stays_inside_its_figure(length, count):
    figure = new_figure(4.0)
    ax = figure.subplots()
    for i in range(count):
        ax.plot([0, 1], [0, i], label=f"{i:02d} " + "W" * (length - 3))
    with mpl.rc_context(RC):
        legend_above(figure, ax)
        figure.draw_without_rendering()
        box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
