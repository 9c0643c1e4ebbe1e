"""Runs of a sweep side by side: each in a process of its own, on its own GPU where there are some.

Processes are spawned, never forked: HDF5, dask and CUDA do not survive a fork. Each gets its
share of the cores, and of several GPUs one, in turn. A run that fails stops no other.
"""

import os
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from typing import Any

from romae.errors import RomaeError
from romae.progress import log, silent, track
from romae.study.sweep_plan import SweepPlan

_plan: Any = None  # in a worker process: what it works on


def perform_all(plan: SweepPlan, jobs: int) -> None:
    """Do every run that is not finished, ``jobs`` at a time.

    Raises :class:`RomaeError` at the end when some failed; what is finished is kept.
    """
    left = [label for label in plan.runs if not plan.finished(label)]
    failed: dict[str, BaseException] = {}
    with track(len(plan.runs), "sweep") as task:
        task.advance(len(plan.runs) - len(left))
        if jobs == 1 or len(left) <= 1:
            for label in left:
                with silent():
                    error = _attempt(plan, label)
                _note(failed, label, error)
                task.advance(run=label)
        else:
            _side_by_side(plan, left, min(jobs, len(left)), failed, task)
    if failed:
        label, cause = next(iter(failed.items()))
        raise RomaeError(
            f"{len(failed)} of {len(plan.runs)} runs failed, the first {label}: {cause}\n"
            f"The others are kept in {plan.folder}; mend the cause and start the same sweep again."
        ) from cause


def _side_by_side(
    plan: SweepPlan, left: list[str], jobs: int, failed: dict[str, BaseException], task: Any
) -> None:
    context = get_context("spawn")
    devices = context.SimpleQueue()
    cards = _cards(plan.study.run.device)
    for i in range(jobs if len(cards) > 1 else 0):
        devices.put(cards[i % len(cards)])
    threads = max(1, _cores() // jobs)
    given = (plan, devices if len(cards) > 1 else None, threads)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=given)
    with pool:
        waiting = {pool.submit(_perform, label): label for label in left}
        try:
            for future in as_completed(waiting):
                _note(failed, waiting[future], future.exception())
                task.advance(run=waiting[future])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _attempt(plan: SweepPlan, label: str) -> Exception | None:
    try:
        plan.perform(label)
    except Exception as error:
        return error
    return None


def _note(failed: dict[str, BaseException], label: str, error: BaseException | None) -> None:
    if error is not None:
        log(f"{label} failed: {error}")
        failed[label] = error


def _start(plan: SweepPlan, devices: Any, threads: int) -> None:
    """In a new worker: keep what it works on, take a GPU and a share of the cores."""
    global _plan
    _plan = plan
    if devices is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices.get()  # before CUDA is first used
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)


def _perform(label: str) -> None:
    with silent():
        _plan.perform(label)


def _end_with_parent() -> None:
    """A parent that is killed cannot stop its workers, which would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _cards(device: str) -> list[str]:
    """Names of the GPUs that workers may share out; none when one device was asked for."""
    if device not in ("auto", "cuda"):
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return [str(i) for i in range(torch.cuda.device_count())]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
