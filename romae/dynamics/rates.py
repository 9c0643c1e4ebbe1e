"""Rates of dynamic modes: how they may grow, which belong together, what fits whole trajectories.

    mu = growth + i angle         per step, lambda = exp(mu)
    min_{mu, B}  sum_t || y_t - sum_j exp(mu_j t) B_j ||^2

by variable projection (PyDMD). Rates of real data are real or come in conjugate pairs, and one of
them, of the constant, is zero; both are held while the others move. The sum has many minima, and
rounding may decide which one is met: the search begins at several starts, and the smallest
residual is kept.

A forecast is x_n = Re sum_j lambda_j^n b_j phi_j: powers and one real product, in which the second
of a pair adds conj(b) to the first.
"""

import warnings
from typing import Any, Literal

import numpy as np

from romae.errors import MissingDependencyError, TrainingError

Array = np.ndarray
Growth = Literal["stable", "neutral", "free"]
FINER = 4  # points of the spectrum that starts are read from, over the number of times
SAME = 1e-9  # of a residual: smaller by less is no better
ROWS = 64  # powers between two that are computed afresh, rows of one product


def hold_growth(rates: Array, growth: Growth, longest: int) -> tuple[Array, Array]:
    """Rates (r,) per step as ``growth`` asks, and the indices kept.

    "neutral" keeps what loses less than half its size over ``longest`` steps.
    """
    kept = np.arange(len(rates))
    if growth == "neutral":
        kept = np.flatnonzero(rates.real * longest > -np.log(2))
        return 1j * rates[kept].imag, kept
    if growth == "stable":
        rates = np.minimum(rates.real, 0) + 1j * rates.imag
    return rates, kept


def constraint(rates: Array, growth: Growth) -> Any:
    """A function of rates (r,): pairs stay conjugate, the constant at zero, growth held.

    Who pairs with whom is taken from the start, and kept.
    """
    partner = partners(rates)
    constant = int(np.argmin(np.abs(rates)))

    def hold(values: Array) -> Array:
        values = (values + np.conj(values[partner])) / 2
        if growth == "neutral":
            values = 1j * values.imag
        elif growth == "stable":
            values = np.minimum(values.real, 0) + 1j * values.imag
        values[constant] = 0
        return values

    return hold


def partners(rates: Array) -> Array:
    """Index of the conjugate of each rate (r,), its own for real ones."""
    order = np.arange(len(rates))
    near = np.array([int(np.argmin(np.abs(rates - value.conj()))) for value in rates])
    return np.where(near[near] == order, near, order)


def variable_projection(H: Array, times: Array, rates: Array, hold: Any) -> Array:
    """Rates (r,) of exponentials that fit H (T, n) at ``times``, from those given, by PyDMD."""
    try:
        from pydmd import BOPDMD
    except ImportError as error:
        raise MissingDependencyError(
            "DMD's methods 'optimised' and 'bagged' need pydmd, which is not installed. Type: "
            "pip install 'romae[dynamics]'; or take method='exact'"
        ) from error
    model = BOPDMD(
        svd_rank=len(rates),
        init_alpha=hold(rates),
        eig_constraints=hold,
        use_proj=False,
        varpro_opts_dict={"maxiter": 60, "tol": 1e-12, "eps_stall": 1e-10},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that noise leaves a residual is no failure
        try:
            found = np.asarray(model.fit(H.T, times).eigs)
        except np.linalg.LinAlgError as error:
            raise TrainingError(
                f"DMD: variable projection met numbers that are not finite, from {len(rates)} "
                f"rates (growth up to {rates.real.max():.3g} per step). Expected rates that fit "
                "the data; take a smaller rank, growth='stable', or method='exact'."
            ) from error
    return found if np.isfinite(found).all() else rates


def best_projection(H: Array, times: Array, rates: Array, growth: Growth) -> Array:
    """:func:`variable_projection` from each of :func:`starts`; the rates of smallest residual.

    Raises TrainingError where no start leads to numbers.
    """
    best, least, failed = None, np.inf, None
    for start in starts(H, times, rates):
        try:
            found = variable_projection(H, times, start, constraint(start, growth))
        except TrainingError as error:
            failed = failed or error
            continue
        lost = residual(H, times, found)
        if best is None or lost < (1 - SAME) * least:
            best, least = found, lost
    if best is None:
        assert failed is not None
        raise failed
    return best


def starts(H: Array, times: Array, rates: Array) -> list[Array]:
    """``rates`` (r,) themselves, without their growth, and as peaks of the spectrum of H (T, n).

    One step of noisy data is damped by the noise, and so are the rates that fit it; the others are
    not. Peaks are found one by one, each in what those before it leave, where times are even.
    """
    found = [rates, 1j * rates.imag] if rates.real.any() else [rates]
    if not np.array_equal(times, np.arange(len(times))):
        return found
    T = len(H)
    peaks = np.array([0j] if len(rates) % 2 else [0j, -1 / T])
    omega = 2 * np.pi * np.fft.rfftfreq(FINER * T)
    while len(peaks) < len(rates):
        left = np.fft.rfft(H - _fitted(H, times, peaks), FINER * T, axis=0)
        power = np.square(np.abs(left)).sum(axis=1)
        # the slowest and the fastest are no pairs, and one that is there counts once
        near = np.abs(omega[:, None] - np.abs(peaks.imag)).min(axis=1) < np.pi / T
        power[near | (omega < np.pi / T) | (omega > np.pi * (1 - 1 / T))] = -1
        peak = 1j * omega[int(np.argmax(power))]
        peaks = np.concatenate([peaks, [peak, -peak]])
    return [*found, peaks]


def residual(H: Array, times: Array, rates: Array) -> float:
    """|| H - V B || for the best B; infinite where exponentials overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        V = np.exp(np.multiply.outer(times, rates))
    if not np.isfinite(V).all():
        return np.inf
    return float(np.linalg.norm(H - _fitted(H, times, rates)))


def _fitted(H: Array, times: Array, rates: Array) -> Array:
    """V B (T, n), real, for the best B of rates (r,) in conjugate pairs."""
    V = np.exp(np.multiply.outer(times, rates))
    V /= np.linalg.norm(V, axis=0)
    return np.asarray((V @ np.linalg.lstsq(V, H.astype(complex), rcond=1e-12)[0]).real)


def pairs(values: Array, modes: Array) -> tuple[Array, Array]:
    """One of each conjugate pair of ``values`` (r,) with ``modes`` (k, r), and the other: indices.

    A real one is its own. Where not all pair up bit by bit nothing is paired.
    """
    order = np.arange(len(values))
    other = np.argmax(values[:, None] == values.conj(), axis=1)
    exact = np.array_equal(values[other], values.conj())
    exact = exact and np.array_equal(modes[:, other], modes.conj())
    if not exact or not np.array_equal(other[other], order):
        return order, order
    once = order[order <= other]
    return once, other[once]


def powers(values: Array, times: Array) -> Array:
    """values^t, (n, r), for values (r,) and times t (n,) of at least 0.

    Of whole t = ROWS q + s it is the product of two out of short tables, ten times as fast. Each
    number depends on its own t alone.
    """
    whole = times == np.floor(times)
    if not whole.all():
        found = values ** np.asarray(times, dtype=float)[:, None]
        if whole.any():
            found[whole] = powers(values, times[whole])
        return found
    q, s = np.divmod(times.astype(np.int64), ROWS)
    short = np.cumprod(np.broadcast_to(values, (ROWS, len(values))), axis=0)
    short = np.concatenate([np.ones((1, len(values))), short[:-1]])
    far, place = np.unique(q, return_inverse=True)
    long = values ** (float(ROWS) * far)[:, None]
    return np.asarray(long[place] * short[s])


def rolled(values: Array, modes: Array, first: int, steps: int) -> Array:
    """Re sum_j values_j^t modes_j, (steps, k), at t = first .. first + steps - 1; modes (r, k).

    With t = ROWS q + s it is one real product of powers s, the same for each q, and
    values^(ROWS q) modes: powers of all times are never written. Each number depends on its own t
    alone, for all products have one shape.
    """
    short = np.cumprod(np.broadcast_to(values, (ROWS - 1, len(values))), axis=0)
    table = np.ones((ROWS, 2, len(values)))
    table[1:, 0], table[0, 1], table[1:, 1] = short.real, 0, short.imag
    q = np.arange(first // ROWS, (first + steps - 1) // ROWS + 1)
    ahead = (values ** (float(ROWS) * q)[:, None])[:, :, None] * modes  # (q, r, k)
    both = np.concatenate([ahead.real, -ahead.imag], axis=1)
    found = (table.reshape(ROWS, -1) @ both).reshape(-1, modes.shape[1])
    return np.asarray(found[first % ROWS :][:steps])


def real_product(a: Array, b: Array) -> Array:
    """Real part of a (n, r) times b (r, k), both complex: [Re a, Im a] [Re b; - Im b].

    In blocks of ROWS rows, the last one filled up: a library may sum in another order for another
    shape, and so no row depends on how many there are.
    """
    n, r = a.shape
    rows = np.zeros((-(-n // ROWS) * ROWS, 2 * r))
    rows[:n, :r], rows[:n, r:] = a.real, a.imag
    both = np.concatenate([b.real, -b.imag])
    return np.asarray((rows.reshape(-1, ROWS, 2 * r) @ both).reshape(len(rows), -1)[:n])
