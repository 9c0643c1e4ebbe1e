"""Which device to compute on."""

import os

import torch

from romae.errors import OptionError


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` takes a CUDA device when there is one; else a name as torch spells it.

    Under torchrun ``auto`` and ``cuda`` give every process of a machine a device of its own.
    Raises :class:`OptionError` when the name is unknown or the device is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ and torch.cuda.is_available():
        # Modulo: a queue may show each process its own device only.
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise OptionError(
            f"unknown device {name!r}. Expected auto, cpu, cuda or cuda:N; type --device auto."
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise OptionError(
            f"device {name!r} was asked for and torch {torch.__version__} sees no CUDA device. "
            f"Type --device cpu, or install a CUDA build of torch."
        )
    return device
