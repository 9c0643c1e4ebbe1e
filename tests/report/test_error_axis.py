"""The error axis: wherever the errors lie, at least two labels that differ."""

import pytest

from romae.report.figures.style import error_axis, new_figure


@pytest.mark.parametrize(
    "errors",
    [(0.02, 0.09), (0.05, 0.3), (0.012, 0.13), (0.3, 2.2), (0.03, 0.034), (0.04, 0.15), (1e-5, 1)],
)
def test_two_labels_at_least(errors):
    figure = new_figure(3.6)
    ax = figure.subplots()
    ax.plot([1, 2], errors)
    error_axis(ax)
    figure.draw_without_rendering()
    low, high = ax.get_ylim()
    ticks = [*ax.yaxis.get_major_ticks(), *ax.yaxis.get_minor_ticks()]
    labels = [t.label1.get_text() for t in ticks if low <= t.get_loc() <= high]
    labels = [text for text in labels if text]
    assert len(set(labels)) == len(labels) >= 2
