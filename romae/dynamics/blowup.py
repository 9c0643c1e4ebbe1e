"""What becomes of rollouts that leave three times the range of the training latents.

    clip     held at the border from there on
    stop     all forecasts end one step before the first that leaves
    nan      NaN from there on
    ignore   as the model says, however large; NaN once it is no number
    raise    ForecastError

Whatever is chosen is said in a warning and dated in the result.
"""

import warnings
from typing import Literal

import numpy as np
import xarray as xr

from romae.conventions import TIME
from romae.dynamics.history import LEFT
from romae.dynamics.span import Span
from romae.errors import ForecastError

OnBlowup = Literal["clip", "stop", "nan", "ignore", "raise"]
CHOICES = ("clip", "stop", "nan", "ignore", "raise")
DONE = {
    "clip": "it is held at the border from there on",
    "stop": "the forecast ends before it",
    "nan": "it is NaN from there on",
    "ignore": "it is let go",
}


def settle(
    zn: np.ndarray, start: np.ndarray, span: Span, on_blowup: OnBlowup
) -> tuple[np.ndarray, int, np.ndarray]:
    """Rollouts (B, steps, k) from ``start`` (B, k), both normalised, as ``on_blowup`` wants them.

    Returns them in physical latents, how many steps are kept, and the index of the first
    state of each outside the span, (B,), steps for none.
    """
    # a latent that never changed in training stays as it starts: nothing is known of it
    if span.constant.any():
        zn = np.where(span.constant, start[:, None], zn)
    left = span.left(zn)
    if (left == zn.shape[1]).all():  # the usual case
        return span.restore(zn), zn.shape[1], left
    keep = int(left.min(initial=zn.shape[1])) if on_blowup == "stop" else zn.shape[1]
    if on_blowup == "ignore":
        lost = np.logical_or.accumulate(~np.isfinite(zn).all(axis=2), axis=1)
        zn = np.where(lost[..., None], np.nan, zn)
    else:
        zn = span.hold(zn, start)
    values = span.restore(zn[:, :keep])
    if on_blowup == "nan":
        values[np.arange(keep) >= left[:, None]] = np.nan
    return values, keep, left


def beyond(starts: np.ndarray, span: Span) -> str:
    """Which latents of histories (.., context, k), normalised, lie outside the span, "" for none.

    A rollout from there was never inside: it is the history that has to be looked at.
    """
    states = starts.reshape(-1, starts.shape[-1])
    low, high = span.limits()
    far = np.maximum(low - states, states - high).max(axis=0)
    gone = np.flatnonzero((far > 0) & ~span.constant)
    if not gone.size:
        return ""
    worst = gone[np.argmax(far[gone])]
    column = span.restore(states)[:, worst]
    seen = column[np.argmax(np.abs(column - span.mean[worst]))]
    a, b = (span.restore(v)[worst] for v in (span.low, span.high))
    return (
        f"latent {worst} of the history is {seen:.4g}, in training it went from {a:.4g} to {b:.4g}"
    )


def report(
    name: str, on_blowup: OnBlowup, result: xr.DataArray, left: str, steps: int, begin: str = ""
) -> None:
    """Warn that the rollout behind ``result`` left at step ``left``, or raise ForecastError.

    ``begin``: what :func:`beyond` says of its history.
    """
    when = f"at step {left} of {steps} (time {result.attrs[LEFT]})"
    if begin:
        text = f"{name}: the history itself lies outside three times the range of its training "
        text += f"latents, {begin}; the rollout leaves {when}"
        repair = (
            "Look at the units and the last snapshots of the history, and encode it with the "
            "reducer of the training, or fit on data that hold such states."
        )
    else:
        text = f"{name}: the rollout left three times the range of its training latents {when}"
        repair = "Forecast fewer steps, take on_blowup='clip' or 'nan', or fit on more data."
    if on_blowup == "raise" or not result.sizes[TIME]:
        raise ForecastError(f"{text}. Expected it to stay inside. {repair}")
    # at the line that asked for the forecast
    warnings.warn(f"{text}; {DONE[on_blowup]}.", UserWarning, stacklevel=3)
