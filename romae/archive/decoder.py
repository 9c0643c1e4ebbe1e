"""The decoding half of a fitted reducer, in few bytes.

A reducer decodes z to mean + scale * D(z). Of its tensors only those are kept that D depends on:
where the latents stay the same and a tensor of NaN changes nothing, it belongs to the encoder. The
mean and all POD modes psi_i, whose coefficients have the rms s_i over a sample, are fields: in
units of the bound,

    s_i scale_c psi_ic / eps_c,

an error of the same variance costs the same in all of them, so their wavelet coefficients are
rounded to *one* step, as in :mod:`romae.archive.coded_pod`. Every other tensor w is rounded to
steps of max|w| 2^(1 - bits). All are rounded before the archive is written, so that it is written
with the decoder that reads it.

    decoder := block(head: JSON, deflated) block(rms s, float32) block(fields) block(weights)
               block(raw)            tensors of up to SMALL numbers, and integers, as they are
"""

import copy
import hashlib
import json
import zlib
from typing import Any

import numpy as np

from romae.archive.coded_pod import arrange, arranged, disarrange, from_wavelets, to_wavelets
from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.pieces import Reader, Writer
from romae.bundle import bundle_class
from romae.errors import OptionError
from romae.fields.layout import Field, Layout
from romae.fields.scaling import Scaling

SMALL = 16  # numbers of a tensor that is not worth rounding
LONG = 64  # numbers of a list in the JSON that is a record of the fit, no part of the maps
UNUSED = ("train", "objective", "corruption")  # arguments of training
PROBES = 3  # latents on which it is seen what the decoder depends on


def digest(reducer: Any) -> str:
    """sha256 of what decides the maps of ``reducer``; equal however often it is saved."""
    document, arrays = reducer.to_bundle()
    kept = {k: document[k] for k in ("class", "arguments", "fitted", "layout", "scaling")}
    found = hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode())
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {a.dtype.str} {a.shape}".encode())
        found.update(a.tobytes())
    return found.hexdigest()


def whole_to_bytes(reducer: Any) -> bytes:
    """The reducer with its encoder, every number as it is."""
    from safetensors.numpy import save

    document, arrays = reducer.to_bundle()
    out = Writer()
    out.block(json.dumps(document, default=str).encode())
    out.block(save({k: np.asarray(v, order="C") for k, v in arrays.items()}))
    return bytes(out.data)


def whole_from_bytes(data: bytes) -> Any:
    """The reducer of :func:`whole_to_bytes`."""
    from safetensors.numpy import load

    source = Reader(data)
    document = json.loads(source.block())
    return _open(document, load(source.block()))


def _open(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    from romae.model import find_class

    return find_class(bundle_class(document)).from_bundle((document, arrays))


class Shrinker:
    """Bytes of the decoder of ``reducer`` at any precision.

    ``latents``: a sample (n, k); ``eps``: (C,) bound in the fields' units, inf where there is none.
    """

    def __init__(self, reducer: Any, latents: np.ndarray, eps: np.ndarray) -> None:
        self.reducer, self.eps = reducer, np.asarray(eps, np.float64)
        self.shape = (len(self.eps), *reducer.layout.shape)
        state = {k: v.cpu().numpy() for k, v in reducer.module.state_dict().items()}
        rms = mode_rms(reducer, latents)
        needed = needed_tensors(reducer, latents)
        self.modes = {n: rms[n] for n in rms if n in needed}
        self.state = {n: v for n, v in state.items() if n in needed}
        self.dropped = {n: list(v.shape) for n, v in state.items() if n not in needed}
        self.rms = np.concatenate([[1.0], *self.modes.values()]).astype(np.float32)
        with np.errstate(divide="ignore"):
            self.unit = np.where(np.isfinite(self.eps), 1.0 / self.eps, 0.0)
        self.psi = self._fields()
        self.fold = self._fold()

    def _fields(self) -> np.ndarray:
        """Mean and modes (R, C, *space) in units of the bound."""
        scaling = self.reducer.scaling
        rows = [np.reshape(self.state[n], (-1, *self.shape)) for n in self.modes]
        scaled = [r.astype(np.float64) * scaling.columns for r in rows]
        psi = np.concatenate([scaling.mean[None], *scaled])
        unit = self.unit.reshape(-1, *(1,) * (psi.ndim - 2))
        rms = self.rms.astype(np.float64).reshape(-1, *(1,) * (psi.ndim - 1))
        return psi * (rms * unit)

    def _fold(self) -> tuple[int, ...]:
        psi, step = self.psi[:9], 0.4 * np.sqrt(12.0 / min(9, len(self.psi)))
        folds = [(), *((a,) for a, n in enumerate(self.shape[1:]) if n % 2 == 0 and n >= 16)]

        def size(fold: tuple[int, ...]) -> int:
            return len(encode_integers(arrange(_rounded(psi, fold, step), fold)))

        return min(folds, key=size)

    def to_bytes(self, noise: float, bits: int) -> bytes:
        """``noise``: rms error in units of the bound that rounded fields make; ``bits``: of

        every other weight, 0 for float32.
        """
        step = noise * float(np.sqrt(12.0 / len(self.psi)))
        others = {n: v for n, v in self.state.items() if n not in self.modes}
        rounded = {
            n: v
            for n, v in others.items()
            if bits and v.dtype.kind == "f" and v.size > SMALL and np.abs(v).max() > 0
        }
        raw = {n: v for n, v in others.items() if n not in rounded}
        peaks = {n: float(np.abs(v).max()) * 2.0 ** (1 - bits) for n, v in rounded.items()}
        head = {
            **_document(self.reducer),
            "eps": [float(e) if np.isfinite(e) else None for e in self.eps],
            "scale": self.reducer.scaling.scale.tolist(),
            "step": step,
            "fold": self.fold,
            "modes": {n: len(r) for n, r in self.modes.items()},
            "rounded": {n: [list(v.shape), peaks[n]] for n, v in rounded.items()},
            "raw": {n: [list(v.shape), v.dtype.str] for n, v in raw.items()},
            "dropped": self.dropped,
        }
        if (mask := self.reducer.layout.mask) is not None:
            head["mask"] = zlib.compress(np.packbits(mask).tobytes(), 9).hex()
        out = Writer()
        out.block(zlib.compress(json.dumps(head, separators=(",", ":")).encode(), 9))
        out.block(self.rms.tobytes())
        out.block(encode_integers(arrange(_rounded(self.psi, self.fold, step), self.fold)))
        flat = [np.rint(v.ravel() / peaks[n]).astype(np.int64) for n, v in rounded.items()]
        out.block(encode_integers(np.concatenate(flat)[None]) if flat else b"")
        out.block(b"".join(np.ascontiguousarray(v).tobytes() for v in raw.values()))
        return bytes(out.data)


def _rounded(psi: np.ndarray, fold: tuple[int, ...], step: float) -> np.ndarray:
    return np.rint(to_wavelets(psi, fold) / step).astype(np.int64)


def _document(reducer: Any) -> dict[str, Any]:
    """What the class needs to build itself; nothing of the training."""
    header = reducer.header("reducer")
    fitted = reducer.to_bundle()[0]["fitted"]
    short = {k: [] if isinstance(v, list) and len(v) > LONG else v for k, v in fitted.items()}
    arguments = {k: v for k, v in header["arguments"].items() if k not in UNUSED}
    layout = reducer.layout
    return {
        "class": header["class"],
        "arguments": arguments,
        "fitted": short,
        "names": layout.names,
        "shape": layout.shape,
        "periodic": layout.periodic,
    }


def from_bytes(data: bytes) -> Any:
    """The reducer of :meth:`Shrinker.to_bytes`: it decodes, and cannot encode."""
    source = Reader(data)
    head = json.loads(zlib.decompress(source.block()))
    rms = np.frombuffer(source.block(), np.float32).astype(np.float64)
    names, space, fold = head["names"], tuple(head["shape"]), tuple(head["fold"])
    shape, scale = (len(rms), len(names), *space), np.array(head["scale"])
    q = decode_integers(source.block(), arranged(shape, fold))
    psi = from_wavelets(disarrange(q, shape, fold) * head["step"], fold)
    tall = (1, -1, *(1,) * len(space))
    psi *= np.array([0.0 if e is None else e for e in head["eps"]]).reshape(tall)
    mean, at = psi[0].copy(), 1
    psi /= np.maximum(rms, 1e-30).reshape(-1, *(1,) * (psi.ndim - 1)) * scale.reshape(tall)
    arrays = {n: np.zeros(s, np.float32) for n, s in head["dropped"].items()}
    for name, count in head["modes"].items():
        arrays[name] = psi[at : at + count].reshape(count, -1).astype(np.float32)
        at += count
    sizes = [int(np.prod(s)) for s, _ in head["rounded"].values()]
    weights = decode_integers(source.block(), (1, sum(sizes)))[0]
    for (name, (form, step)), w in zip(
        head["rounded"].items(), np.split(weights, np.cumsum(sizes)[:-1]), strict=False
    ):
        arrays[name] = (w * step).astype(np.float32).reshape(form)
    raw = source.block()
    for name, (form, dtype) in head["raw"].items():
        size = int(np.prod(form)) * np.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(raw[:size], dtype).reshape(form)
        raw = raw[size:]
    return _assembled(head, arrays, mean, scale)


def _assembled(head: dict[str, Any], arrays: dict, mean: np.ndarray, scale: np.ndarray) -> Any:
    space, mask = tuple(head["shape"]), None
    if "mask" in head:
        bits = np.unpackbits(np.frombuffer(zlib.decompress(bytes.fromhex(head["mask"])), np.uint8))
        mask = bits[: mean.size].astype(bool).reshape(mean.shape)
    axes = tuple(f"x{i}" for i in range(len(space)))
    fields = tuple(Field(n) for n in head["names"])
    layout = Layout(fields, "time", axes, space, periodic=tuple(head["periodic"]), mask=mask)
    scaling = Scaling(mean, scale, "none", mask)
    document = {k: head[k] for k in ("class", "arguments", "fitted")}
    document |= {"training": {}, "history": [], "fit_seconds": 0.0}
    full = {f"module/{k}": v for k, v in arrays.items()}
    document["layout"], more = layout.to_state()
    full |= {f"layout/{k}": v for k, v in more.items()}
    document["scaling"], more = scaling.to_state()
    full |= {f"scaling/{k}": v for k, v in more.items()}
    return _open(document, full)


def mode_rms(reducer: Any, latents: np.ndarray) -> dict[str, np.ndarray]:
    """Rms (r,) over the sample of the coefficients of each set of modes, by name of its tensor."""
    import torch

    from romae.reducers.linear import LinearCoder

    module = copy.deepcopy(reducer.module)
    seen: dict[str, list[np.ndarray]] = {}
    for name, part in module.named_modules():
        if isinstance(part, LinearCoder):
            key = f"{name}.modes" if name else "modes"
            part.decode = _noted(part.decode, seen.setdefault(key, []))  # type: ignore[method-assign]
    with torch.no_grad():
        module.decode(torch.from_numpy(np.ascontiguousarray(latents, np.float32)))
    return {
        k: np.sqrt(np.mean(np.concatenate(v).astype(np.float64) ** 2, axis=0))
        for k, v in seen.items()
        if v
    }


def _noted(decode: Any, seen: list[np.ndarray]) -> Any:
    def noted(z: Any) -> Any:
        seen.append(z.detach().cpu().numpy())
        return decode(z)

    return noted


def needed_tensors(reducer: Any, latents: np.ndarray) -> set[str]:
    """Names of the tensors that decoding depends on."""
    import torch

    module = copy.deepcopy(reducer.module)
    places = np.linspace(0, len(latents) - 1, min(PROBES, len(latents))).astype(int)
    z = torch.from_numpy(np.ascontiguousarray(latents[places], np.float32))
    with torch.no_grad():
        before, needed = module.decode(z), set()
        if not bool(torch.isfinite(before).all()):
            raise OptionError(
                f"{reducer.name} decodes latents of the data to NaN or infinity. Expected a "
                "fitted model whose reconstruct() of these data is finite; fit it again"
            )
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                needed.add(name)
                continue
            kept = tensor.clone()
            tensor.fill_(torch.nan)
            if not torch.equal(module.decode(z), before):
                needed.add(name)
            tensor.copy_(kept)
    return needed
