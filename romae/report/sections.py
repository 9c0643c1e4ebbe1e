"""The parts of the page, each with its figures drawn, written as files and explained."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from romae.compare import forecast_table, table
from romae.compare.ladders import Rung, ladders
from romae.fields import Snapshots
from romae.metrics import ALL
from romae.progress import track
from romae.report.page import Section, comparison_table, forecast_rows, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FIELDS = 4  # fields shown as pictures
MOST_MODELS = 3  # models beside the original


class Sections:
    """Draws the figures one by one, writes each as files, and puts it into its section."""

    def __init__(
        self,
        folder: Path,
        comparison: xr.Dataset,
        models: Any,
        test: Snapshots,
        forecasts: xr.Dataset | None,
    ) -> None:
        self.folder, self.comparison, self.test, self.forecasts = (
            folder,
            comparison,
            test,
            forecasts,
        )
        self.steps = ladders(models)
        self.pods = [s.reducer for s in self.steps if hasattr(s.reducer, "singular_values")]
        self.shown = self._choose()
        folder.mkdir()

    def make(self) -> list[Section]:
        """All sections in the order of the page, empty ones too."""
        makers: list[Callable[[], Section]] = [
            self._errors, self._spectrum, self._fields, self._latents, self._training,
            self._forecasts, self._numbers,
        ]  # fmt: skip
        done = []
        with track(len(makers), "report") as task:
            for make in makers:
                done.append(make())
                task.advance()
        return done

    def _choose(self) -> dict[str, Any]:
        """Models shown as pictures: the best of each family, and POD at the size of the best."""
        error = {
            str(m): float(e)
            for m, e in zip(
                self.comparison["model"].values, self.comparison["error"].sel(field=ALL).values,
                strict=True,
            )
        }  # fmt: skip
        best: dict[str, Rung] = {}
        for ladder in self.steps:
            if ladder.reducer in self.pods:
                continue
            rung = min(ladder.rungs, key=lambda r: error.get(r.name, float("inf")))
            other = best.get(ladder.family)
            if other is None or error.get(rung.name, 9e9) < error.get(other.name, 9e9):
                best[ladder.family] = rung
        others = sorted(best.values(), key=lambda r: error.get(r.name, float("inf")))
        chosen = others[: MOST_MODELS - bool(self.pods)]
        for ladder in self.steps:
            if ladder.reducer in self.pods:
                size = chosen[0].latent if chosen else 8
                fitting = [r for r in ladder.rungs if r.latent <= size]
                chosen = [fitting[-1], *chosen]
                break
        return {rung.name: rung.reducer for rung in chosen}

    def _errors(self) -> Section:
        from romae.report.figures import error_bytes, error_curve

        section = Section("errors", "Error over latent size")
        section.text.append(
            "Relative L2 error of the fluctuation about the training mean, over all unseen "
            "snapshots: 100 % is the error of the mean itself."
        )
        self._add(
            section, "error-curve", error_curve(self.comparison),
            "Error over latent size for every model, logarithmic axes.",
            "Lower and further left is better. POD is the best linear model of each size.",
        )  # fmt: skip
        self._add(
            section, "error-bytes", error_bytes(self.comparison),
            "Error over stored bytes for every model, logarithmic axes.",
            "What it takes to keep the test snapshots: the fitted model and their latents in "
            "float32. A few snapshots do not pay for a large model.",
        )  # fmt: skip
        return section

    def _spectrum(self) -> Section:
        from romae.report.figures import energy_spectrum, pod_modes

        section = Section("pod", "Energy and modes of POD")
        if not self.pods:
            return section
        pod = max(self.pods, key=lambda p: p.latent)
        self._add(
            section, "energy", energy_spectrum(pod),
            "Energy of each POD mode, and energy left out after k modes, logarithmic axes.",
            "Energy of the fluctuations of the training data. A slow decay is where autoencoders "
            "can help; a fast one is where POD is enough.",
        )  # fmt: skip
        for name in self._fields_shown():
            self._add(
                section, f"modes-{name}", pod_modes(pod, field=name),
                f"The first POD modes of {name}.",
                f"First POD modes of {name}; each in its own symmetric colour scale, zero is white."
                if len(self.test.layout.space) > 1 else f"First POD modes of {name}.",
            )  # fmt: skip
        return section

    def _fields(self) -> Section:
        from romae.report.figures import reconstructions
        from romae.report.figures.fields import SPAN

        section = Section("fields", "Original, reconstruction, error")
        count = self.test.lengths[0]
        what = (
            f"the last {min(SPAN, count)} test snapshots"
            if len(self.test.layout.space) == 1
            else f"the last test snapshot (time {self.test.times(0).values[-1]})"
        )
        for name in self._fields_shown():
            self._add(
                section, f"fields-{name}", reconstructions(self.shown, self.test, field=name),
                f"Field {name}: original, reconstructions and errors side by side.",
                f"{name}, {what}. Top: original and reconstructions in one colour scale. Bottom: "
                "fluctuation of the original, and errors, each in its own scale; the percentage is "
                "relative to that fluctuation.",
            )  # fmt: skip
        return section

    def _latents(self) -> Section:
        from romae.report.figures import latents

        section = Section("latents", "Latent trajectories")
        self._add(
            section, "latents", latents(self.shown, self.test),
            "Latents over time, and the second latent against the first.",
            "Left: each latent of the first test snapshots, divided by its standard deviation. "
            "Right: the trajectory in the plane of the first two; the dot is its start.",
        )  # fmt: skip
        return section

    def _training(self) -> Section:
        from romae.report.figures.curves import trained, training_curves

        section = Section("training", "Training")
        reducers = {step.rungs[-1].name: step.reducer for step in self.steps}
        if trained(reducers):
            self._add(
                section, "training", training_curves(reducers),
                "Training and validation loss over epochs, logarithmic axis.",
                "The weights kept are those of the lowest validation loss.",
            )  # fmt: skip
        return section

    def _forecasts(self) -> Section:
        from romae.report.figures import forecast_error

        section = Section("forecasts", "Forecasts")
        if self.forecasts is None:
            return section
        section.text.append(
            f"Forecasts from {self.forecasts.sizes['start']} starts in the test data. Persistence "
            "repeats the last snapshot, climatology is the training mean, and a "
            "reconstruction encodes and decodes the truth: what the latents can hold at best."
        )
        if told := str(self.forecasts.attrs.get("horizons", "")):
            listed = "; ".join(told.splitlines())
            section.text.append(f"Horizons stated beforehand, on the validation data: {listed}.")
        self._add(
            section, "forecast-error", forecast_error(self.forecasts),
            "Forecast error over lead time, and valid prediction time of each model.",
            f"Left: NRMSE of all fields, median and quartiles over starts. Right: "
            f"{self.forecasts.attrs['definition']}; an arrow says that the median start is still "
            "valid at the end.",
        )  # fmt: skip
        section.tables.append(forecast_rows(forecast_table(self.forecasts)))
        return section

    def _numbers(self) -> Section:
        section = Section("table", "All numbers")
        section.text.append(
            "The same with more digits, and per field, is in data/comparison.csv, .json and .nc."
        )
        section.tables.append(comparison_table(table(self.comparison)))
        return section

    def _fields_shown(self) -> list[str]:
        """Fields that vary, at most ``MOST_FIELDS``."""
        error = self.comparison["error"].max("model")
        names = [n for n in self.test.layout.names if not bool(error.sel(field=n).isnull())]
        return names[:MOST_FIELDS]

    def _add(self, section: Section, name: str, figure: "Figure", alt: str, caption: str) -> None:
        section.figures.append(picture(self.folder, name, figure, alt, caption))
