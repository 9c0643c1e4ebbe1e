"""A fitted reducer as predictor: autoencoder, quadratic manifold, POD.

    z = steps * round(E(x) / steps)      latents of each snapshot, on a lattice
    p = D(z),      q = round((x - p) / (2 eps_r)),      x' = p + 2 eps_r q,     eps_r = eps - m.

The rounded latents are differenced in time, 0 to 3 times, and entropy coded, like q. The encoder is
not needed to read; the encoder's answer is improved by Gauss-Newton steps on |x - D(z)|^2.

D(z) is an open loop: other processors, threads and libraries round it differently. While
writing, D is computed once more in the other precision, and the margin

    m = SAFETY max |D_32(z) - D_64(z)|      per field, plus FLOOR of the largest fluctuation

is kept free in the bound. Where m would exceed eps / 16 in single precision all is computed
in double, with the margin from other batches; m > eps / 4 is refused.

    payload := order:number margin:real*C latents:block q:block
    side    := block(head: JSON, deflated) block(decoder, empty where a parent model holds it)

Latents as predictors with a coded residual: Liu et al. 2021, "Exploring autoencoder-based
error-bounded compression for scientific data". Ours differs in the margin and in counting weights.
"""

import copy
import json
import os
import threading
import zlib
from typing import Any, ClassVar, Self

import numpy as np

from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.lattice import LARGEST, quantise
from romae.archive.method import Method, UnsuitableError
from romae.archive.parent import Parent
from romae.archive.pieces import Reader, Writer
from romae.archive.threads import one_thread
from romae.errors import ArchiveError, RomaeError

SAFETY = 8.0
FLOOR = {False: 4 * 2.0**-23, True: 1e-12}  # by whether computed in double precision
MOST = 0.25  # of eps that a margin may take
ORDERS = 4  # of differences in time
BATCH_BYTES = 8 << 20  # decoded at once: feature maps take many times that
IMPROVE_UP_TO = 8  # latents: a step costs as many decodings
ROUNDS = 2


class Network(Method):
    """``decoder``: bytes of :mod:`romae.archive.decoder`, or the :class:`Parent` that holds it.

    ``steps``: (k,) of the latents; ``channels``: fields of the reducer that are coded, the others
    keep their mean; ``double``: decoded in float64. ``encoder`` is needed to encode only.
    """

    name: ClassVar[str] = "network"
    gaps = True

    def __init__(
        self,
        decoder: bytes | Parent,
        steps: np.ndarray,
        channels: tuple[int, ...],
        double: bool,
        encoder: Any = None,
    ) -> None:
        self.held, self.encoder = decoder, encoder
        self.steps, self.channels = np.asarray(steps, np.float64), tuple(channels)
        self.double = bool(double)
        self._lock = threading.Lock()
        self._open: dict[bool, Any] = {}

    # -- prediction ---------------------------------------------------------------------

    def decoder(self, double: bool) -> Any:
        """The reducer that decodes, in single or double precision; opened once."""
        from romae.archive.decoder import from_bytes

        with self._lock:
            if not self._open:
                held = self.held
                found = held.open() if isinstance(held, Parent) else from_bytes(held)
                self._open[False] = on_host(found)
            if double and True not in self._open:
                self._open[True] = copy.copy(self._open[False])
                self._open[True].module = copy.deepcopy(self._open[False].module).double()
            return self._open[double]

    def predict(
        self, z: np.ndarray, double: bool | None = None, rows: int | None = None
    ) -> np.ndarray:
        """D(z) of whole numbers ``z`` (n, k) of steps: (n, C, *space) float64, 0 where masked.

        ``rows``: snapshots decoded at once.
        """
        import torch

        # Reduced precision that a caller has allowed is outside the margin; double never is.
        plain = torch.get_float32_matmul_precision() == "highest"
        double = (self.double if double is None else double) or not plain
        reducer, latents = self.decoder(double), self.latents(z)
        rows = rows or max(1, BATCH_BYTES // (4 * reducer.layout.size))
        out = np.empty((len(z), len(self.channels), *reducer.layout.shape))
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            for start in range(0, len(z), rows):
                part = torch.from_numpy(latents[start : start + rows])
                x = reducer.decode_tensor(part.double() if double else part)
                values = reducer.scaling.inverse(x.numpy())[:, self.channels]
                out[start : start + rows] = np.nan_to_num(values, nan=0.0)
        return out

    def latents(self, z: np.ndarray) -> np.ndarray:
        """Float32 latents of whole numbers of steps."""
        return (z * self.steps).astype(np.float32)

    def margin(self, z: np.ndarray, p: np.ndarray) -> np.ndarray:
        """m (C,): how far other machines may be from ``p``."""
        rows = max(1, len(z) // 3)
        other = self.predict(z, rows=rows) if self.double else self.predict(z, double=True)
        scaling = self.decoder(self.double).scaling
        mean = np.nan_to_num(scaling.mean[list(self.channels)])
        axes = (0, *range(2, p.ndim))
        floor = FLOOR[self.double] * np.max(np.abs(p - mean), axis=axes)
        single = 2.0**-50 * np.max(np.abs(p), axis=axes)  # of float64 sums with a large mean
        worst: np.ndarray = SAFETY * np.max(np.abs(other - p), axis=axes) + floor + single
        return worst

    # -- coding -------------------------------------------------------------------------

    def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
        """See :class:`Method`. Computed on one thread: the same bytes on any number of them."""
        with one_thread():
            try:
                self._check(x.shape)
                z = self.code(x, eps)
                p = self.predict(z)
                m = self.margin(z, p)
            except (RuntimeError, IndexError, MemoryError) as error:
                if isinstance(error, RomaeError):
                    raise
                raise UnsuitableError(f"network: the model fails: {error}") from error
        if not np.all(m <= MOST * eps):
            raise UnsuitableError(
                f"network: other machines may decode values that differ by {m.max():.3g}, "
                f"too much for the bound {eps.min():.3g}; use another method"
            )
        order = min(range(ORDERS), key=lambda d: len(encode_integers(_differences(z, d))))
        gap = np.isnan(x)
        inner = _tall(eps - m, x.ndim)
        q = quantise(np.where(gap, p, x), p, inner)
        p += 2.0 * inner * q
        p[~gap & ~(np.abs(p - x) <= inner * (1 + 1e-9))] = np.nan  # out of reach: stored exactly
        out = Writer()
        out.number(order)
        for value in m.tolist():
            out.real(value)
        out.block(encode_integers(_differences(z, order)))
        out.block(encode_integers(q))
        return bytes(out.data), p

    def decode(self, payload: bytes, shape: tuple[int, ...], eps: np.ndarray) -> np.ndarray:
        """See :class:`Method`; the same within the margin on other machines."""
        self._check(shape)
        z, m, coded = self.parts(payload, shape)
        with one_thread():
            p = self.predict(z)
        q = decode_integers(coded, shape)
        p += 2.0 * _tall(np.asarray(eps) - m, len(shape)) * q
        return p

    def parts(self, payload: bytes, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, bytes]:
        """Rounded latents (n, k), margin (C,), and the coded residual."""
        source = Reader(payload)
        order = source.number()
        if order >= ORDERS:
            raise ArchiveError(
                f"network: differences of order {order} in a chunk. Expected less than {ORDERS}: "
                "the chunk is damaged, restore it from a copy"
            )
        m = np.array([source.real() for _ in range(shape[1])])
        z = decode_integers(source.block(), (shape[0], len(self.steps)))
        for _ in range(order):
            z = np.cumsum(z, axis=0)
        return z, m, source.block()

    def code(self, x: np.ndarray, eps: np.ndarray) -> np.ndarray:
        """Rounded latents (n, k) of x (n, C, *space), NaN where there is no value."""
        z = self.encoded(x) / self.steps
        if not np.isfinite(z).all():
            raise UnsuitableError("network: latents that are not finite; use another method")
        z = np.clip(np.rint(z), -LARGEST, LARGEST).astype(np.int64)
        if len(self.steps) > IMPROVE_UP_TO or np.all(self.steps == 1):
            return z
        return self._improved(z, x, ~np.isnan(x), eps)

    def encoded(self, x: np.ndarray) -> np.ndarray:
        """E(x), (n, k) float64."""
        import torch

        reducer = self.encoder
        whole = np.repeat(np.nan_to_num(reducer.scaling.mean)[None], len(x), axis=0)
        known = ~np.isnan(x)
        for place, c in enumerate(self.channels):
            np.copyto(whole[:, c], x[:, place], where=known[:, place])
        scaled = reducer.scaling.forward(whole).astype(np.float32)
        rows = max(1, BATCH_BYTES // (4 * reducer.layout.size))
        along = reducer.along(None, 0)  # windows of snapshots begin with the chunk
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            parts = [
                along.encode_tensor(torch.from_numpy(scaled[a : a + rows])).numpy()
                for a in range(0, len(x), rows)
            ]
        return np.concatenate(parts).astype(np.float64)

    def _improved(
        self, z: np.ndarray, x: np.ndarray, known: np.ndarray, eps: np.ndarray
    ) -> np.ndarray:
        """``z`` after Gauss-Newton steps, of each snapshot where they bring D(z) closer to x."""
        unit = np.where(known, 1.0 / _tall(eps, x.ndim), 0.0).reshape(len(x), -1)
        flat = np.where(known, x, 0.0).reshape(len(x), -1)

        def misfit(z: np.ndarray) -> np.ndarray:
            found: np.ndarray = (flat - self.predict(z).reshape(len(x), -1)) * unit
            return found

        e = misfit(z)
        for _ in range(ROUNDS):
            J = np.stack([e - misfit(z + row) for row in np.eye(len(self.steps), dtype=int)], 1)
            gram = np.einsum("nip,njp->nij", J, J)
            right = np.einsum("nip,np->ni", J, e)
            better = z + np.rint(np.einsum("nij,nj->ni", np.linalg.pinv(gram), right)).astype(int)
            new = misfit(better)
            wins = np.sum(new**2, axis=1) < np.sum(e**2, axis=1)
            if not wins.any():
                break
            z, e = np.where(wins[:, None], better, z), np.where(wins[:, None], new, e)
        return z

    def _check(self, shape: tuple[int, ...]) -> None:
        layout = self.decoder(False).layout
        want = (len(self.channels), *layout.shape)
        if tuple(shape[1:]) != want:
            raise UnsuitableError(
                f"network: snapshots of {tuple(shape[1:])}; the model decodes {want}; use another "
                "method"
            )

    # -- side information ---------------------------------------------------------------

    def to_bytes(self) -> bytes:
        """Head and decoder; a parent's bytes are not here."""
        parent = self.held.to_json() if isinstance(self.held, Parent) else None
        head = {
            "steps": self.steps.tolist(),
            "channels": self.channels,
            "double": self.double,
            "parent": parent,
        }
        out = Writer()
        out.block(zlib.compress(json.dumps(head, separators=(",", ":")).encode(), 9))
        out.block(b"" if isinstance(self.held, Parent) else self.held)
        return bytes(out.data)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """See :class:`Method`; nothing is opened before it is needed."""
        source = Reader(data)
        head = json.loads(zlib.decompress(source.block()))
        decoder = source.block()
        held = Parent(**head["parent"]) if head["parent"] else decoder
        return cls(held, head["steps"], tuple(head["channels"]), head["double"])

    @classmethod
    def parent(cls, side: bytes) -> dict[str, Any]:
        """Path, digest and bytes of the model that side information refers to; else empty."""
        held = cls.from_bytes(side).held
        return held.to_json() if isinstance(held, Parent) else {}

    def tools(self) -> bytes:
        """The whole reducer: encoding needs it."""
        from romae.archive.decoder import whole_to_bytes

        return whole_to_bytes(self.encoder)

    def take_tools(self, data: bytes) -> None:
        """See :class:`Method`."""
        from romae.archive.decoder import whole_from_bytes

        self.encoder = on_host(whole_from_bytes(data))

    def settle(self, folder: str, model: str | os.PathLike[str] | None = None) -> None:
        """See :class:`Method`; looks for the parent at once."""
        if isinstance(self.held, Parent):
            self.held = self.held.found(folder, model)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.held, self.steps, self.channels, self.double, self.encoder)


def on_host(reducer: Any) -> Any:
    """``reducer`` with a module of its own on the CPU."""
    own = copy.copy(reducer)
    own.module = copy.deepcopy(reducer.module).cpu().eval()
    return own


def _tall(eps: np.ndarray, ndim: int) -> np.ndarray:
    return np.asarray(eps, np.float64).reshape(-1, *(1,) * (ndim - 2))


def _differences(z: np.ndarray, order: int) -> np.ndarray:
    for _ in range(order):
        z = np.diff(z, axis=0, prepend=0)
    return z
