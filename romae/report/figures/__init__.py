"""Figures of a comparison; each function returns a ``matplotlib.figure.Figure``.

    figure = error_curve(romae.compare(models, test))
    figure.savefig("curve.pdf")

Only matplotlib's objects are used, never pyplot: no state is kept and nothing is shown.
"""

from romae.report.figures.anomalies import anomaly_maps, anomaly_scores
from romae.report.figures.archive import archive_errors, archived_field
from romae.report.figures.calibration import ensemble_calibration
from romae.report.figures.curves import error_bytes, error_curve, training_curves
from romae.report.figures.diagnostics import convergence_curves, spectral_modes, spod_spectrum
from romae.report.figures.fields import reconstructions
from romae.report.figures.forecasts import forecast_error
from romae.report.figures.latent_map import latent_map_figure
from romae.report.figures.latents import latents
from romae.report.figures.longrun import long_run
from romae.report.figures.modes import pod_modes
from romae.report.figures.ranking import dynamics_ranking
from romae.report.figures.spectrum import energy_spectrum
from romae.report.figures.style import png, save, svg
from romae.report.figures.sweep import sweep_curve

__all__ = [
    "anomaly_maps",
    "anomaly_scores",
    "archive_errors",
    "archived_field",
    "convergence_curves",
    "dynamics_ranking",
    "energy_spectrum",
    "ensemble_calibration",
    "error_bytes",
    "error_curve",
    "forecast_error",
    "latent_map_figure",
    "latents",
    "long_run",
    "png",
    "pod_modes",
    "reconstructions",
    "save",
    "spectral_modes",
    "spod_spectrum",
    "svg",
    "sweep_curve",
    "training_curves",
]
