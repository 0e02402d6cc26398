"""Measuring several ways of one computation side by side: medians of turns, and peak memory."""

import statistics
import time
import weakref
from collections.abc import Callable, Mapping

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def medians(ways: Mapping[str, Callable[[], object]], turns: int, device: str) -> dict[str, float]:
    """Time several ways in turn, so that what disturbs the machine disturbs all of them.

    Args:
        ways (Mapping[str, Callable]): What to run by name.
        turns (int): How often each is run, after once for warming up.
        device (str): ``'cpu'`` or ``'cuda'``.

    Returns:
        dict[str, float]: The median of each in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            _wait(device)
            started = time.perf_counter()
            way()
            _wait(device)
            if turn:
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(way: Callable[[], object], device: str) -> int:
    """Bytes that a computation holds at most beside what was there before."""
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        return torch.cuda.max_memory_allocated() - before
    with AllocationCount() as count:
        way()
    return count.peak


class AllocationCount(TorchDispatchMode):
    """Counts the bytes of the tensors that operations allocate, while they live.

    Args:
        known (list[Tensor], optional): Tensors that were there before. Defaults to None.
    """

    def __init__(self, known: list[torch.Tensor] | None = None) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._seen = {one.untyped_storage().data_ptr() for one in known or ()}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for one in (*args, *(kwargs or {}).values()):  # what comes from outside is not counted
            if isinstance(one, torch.Tensor) and one.untyped_storage().data_ptr() not in self._seen:
                self._seen.add(one.untyped_storage().data_ptr())
        output = function(*args, **(kwargs or {}))
        for one in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(one, torch.Tensor):
                self._add(one.untyped_storage())
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if address in self._seen or not size:
            return
        self._seen.add(address)
        weakref.finalize(storage, self._free, address, size)
        self.alive += size
        self.peak = max(self.peak, self.alive)

    def _free(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self.alive -= size


def _wait(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()
