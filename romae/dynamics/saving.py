"""A fitted model of the latents as a bundle: a JSON document and real arrays."""

from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np

from romae.bundle import Bundle, Bundled
from romae.dynamics.known import Known
from romae.dynamics.span import Span
from romae.dynamics.times import TimeStep
from romae.errors import BundleError, NotFittedError, OptionError

KNOWN = ("params", "inputs")  # what a model may be given besides latents


class Saved(Bundled):
    """Saving of a model that keeps its arguments under their own names and lists ``fitted``."""

    fitted: ClassVar[tuple[str, ...]] = ()  # names of the arrays that _fit sets

    span: Span
    dt: TimeStep
    fit_seconds: float
    step_error: np.ndarray
    reducer: str
    _known: dict[str, Known | None]
    history: list[dict[str, float]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse arrays that would overwrite those of the span in the bundle."""
        super().__init_subclass__(**options)
        taken = [f.name for f in fields(Span)]
        if clash := [n for n in cls.fitted if n in taken]:
            raise OptionError(
                f"{cls.__name__}.fitted has {clash[0]!r}, the name of an array that every model "
                f"saves ({', '.join(taken)}). Expected names of its own; type {clash[0]}s, say."
            )

    def to_bundle(self) -> Bundle:
        """Document and arrays; see :mod:`romae.bundle`. Raises NotFittedError."""
        self._check_fitted()
        arrays = self.span.arrays() | {n: np.asarray(getattr(self, n)) for n in self.fitted}
        pairs = [n for n, a in arrays.items() if np.iscomplexobj(a)]
        for n in pairs:  # files of arrays hold real numbers: pairs along a last axis
            arrays[n] = np.stack([arrays[n].real, arrays[n].imag], axis=-1)
        document = {
            **self.header("dynamics"),
            "dt": self.dt.to_state(),
            "complex": pairs,
            "fit_seconds": self.fit_seconds,
            "history": self.history,
            "reducer": self.reducer,
            "step_error": self.step_error.tolist(),
            **{n: None if k is None else k.to_state() for n, k in self._known.items()},
        }
        return document, arrays

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The fitted model that :meth:`to_bundle` described; forecasts bit for bit the same."""
        document, arrays = bundle
        try:
            model = cls(**document["arguments"])
            pairs = document["complex"]
            whole = {n: a[..., 0] + 1j * a[..., 1] if n in pairs else a for n, a in arrays.items()}
            model.span = Span(**{f.name: whole[f.name] for f in fields(Span)})
            for n in cls.fitted:
                setattr(model, n, whole[n])
            model.dt = TimeStep(**document["dt"])
            model.fit_seconds, model.history = document["fit_seconds"], document["history"]
            model.reducer = document["reducer"]
            model.step_error = np.asarray(document["step_error"], dtype=float)
            model._known = {n: document[n] and Known.from_state(document[n]) for n in KNOWN}
        except (KeyError, TypeError, IndexError) as error:
            raise BundleError(
                f"the saved {cls.__name__} lacks or has too much of {error}. Expected what this "
                "version of the class writes; fit it again."
            ) from error
        return model

    def _check_fitted(self) -> None:
        if not hasattr(self, "fit_seconds"):
            raise NotFittedError(
                f"this {self.name} has not been fitted. Call .fit(latents) first, or open a "
                "fitted one with romae.load(path)."
            )
