"""A fitted reducer as a bundle: layout, scaling and the tensors of its module."""

from typing import Any, Self

import numpy as np
import torch

from romae.bundle import Bundle, Bundled
from romae.config import read_arguments
from romae.errors import BundleError, NotFittedError
from romae.fields import Layout, Scaling
from romae.reducers.coder import Coder


class Saved(Bundled):
    """Saving of a reducer; constructor arguments come back by their annotations."""

    latent: int
    layout: Layout
    scaling: Scaling
    module: Coder
    history: list[dict[str, float]]
    fit_seconds: float
    training: dict[str, Any]

    def _build(self) -> Coder:
        """An untrained coder for ``self.layout``, into which saved tensors are loaded."""
        raise NotImplementedError

    def to_bundle(self) -> Bundle:
        """Document and arrays; see :mod:`romae.bundle`."""
        state = self._ready().state_dict()
        layout, layout_arrays = self.layout.to_state()
        scaling, scaling_arrays = self.scaling.to_state()
        document = {
            **self.header("reducer"),
            "fitted": self._fitted_scalars(),
            "layout": layout,
            "scaling": scaling,
            "training": self.training,
            "fit_seconds": self.fit_seconds,
            "history": self.history,
        }
        arrays = {f"module/{k}": v.cpu().numpy() for k, v in state.items()}
        arrays |= {f"layout/{k}": v for k, v in layout_arrays.items()}
        arrays |= {f"scaling/{k}": v for k, v in scaling_arrays.items()}
        return document, arrays

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """The fitted reducer that :meth:`to_bundle` described; encodes bit for bit the same."""
        document, arrays = bundle
        try:
            self = cls(**read_arguments(cls, document["arguments"], where=cls.__name__))
            self.layout = Layout.from_state(document["layout"], _part(arrays, "layout"))
            self.scaling = Scaling.from_state(document["scaling"], _part(arrays, "scaling"))
            for name, value in document["fitted"].items():
                setattr(self, name, value)
            self.training, self.history = document["training"], document["history"]
            self.fit_seconds = document["fit_seconds"]
            self._restore(bundle)
            self.module = self._build()
            tensors = {k: torch.from_numpy(v.copy()) for k, v in _part(arrays, "module").items()}
            self.module.load_state_dict(tensors)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            what = " ".join(str(error).split())[:200]
            raise BundleError(
                f"the saved {cls.__name__} is not what this version of the class writes "
                f"({type(error).__name__}: {what}). It is damaged, older or newer; fit it again."
            ) from error
        self.module.eval().requires_grad_(False)
        return self

    def _restore(self, bundle: Bundle) -> None:
        """Parts that ``_build`` needs and that are fitted things themselves: none."""

    def _fitted_scalars(self) -> dict[str, Any]:
        """Attributes found by the fit that ``_build`` needs, as JSON."""
        return {"latent": self.latent}

    def _ready(self) -> Coder:
        module = getattr(self, "module", None)
        if module is None:
            raise NotFittedError(
                f"this {self.name} has not been fitted. Call .fit(snapshots) first, or open a "
                f"fitted one with romae.load(path)."
            )
        return module


def _part(arrays: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    return {k.split("/", 1)[1]: v for k, v in arrays.items() if k.startswith(part + "/")}
