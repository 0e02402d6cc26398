"""The time and the peak memory of several implementations, measured in turn."""

import statistics
import time
import weakref
from collections.abc import Callable, Mapping

import torch
from torch.utils._python_dispatch import TorchDispatchMode


def medians(
    functions: Mapping[str, Callable[[], object]],
    turns: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Time several functions in turn, so that a disturbance of the machine affects all of them.

    Args:
        functions (Mapping[str, Callable]): The functions by name.
        turns (int): How often each one runs, after one run to warm up.
        device (str): ``'cpu'`` or ``'cuda'``.
        clock (Callable): Tells the time in seconds. Defaults to the time of the wall.
            ``time.process_time`` counts the seconds of a CPU core that this process took, which
            other processes disturb less.

    Returns:
        dict[str, float]: The median time of each in seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(turns + 1):
        for name, function in functions.items():
            _wait(device)
            started = clock()
            function()
            _wait(device)
            if turn:
                times[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(function: Callable[[], object], device: str) -> int:
    """Measure the largest number of bytes that a function holds at once.

    Args:
        function (Callable): The function.
        device (str): ``'cpu'`` or ``'cuda'``.

    Returns:
        int: The bytes, without the memory that was in use before.
    """
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        return torch.cuda.max_memory_allocated() - before
    with AllocationCount() as count:
        function()
    return count.peak


class AllocationCount(TorchDispatchMode):
    """Counts the bytes of the tensors that operations allocate, until they are freed.

    Args:
        known (list[Tensor], optional): Tensors that existed before. Defaults to None.
    """

    def __init__(self, known: list[torch.Tensor] | None = None) -> None:
        super().__init__()
        self.alive = self.peak = 0
        self._counted = {tensor.untyped_storage().data_ptr() for tensor in known or ()}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        for value in (*args, *(kwargs or {}).values()):  # the arguments existed before
            if isinstance(value, torch.Tensor):
                self._counted.add(value.untyped_storage().data_ptr())
        output = function(*args, **(kwargs or {}))
        for value in output if isinstance(output, (tuple, list)) else [output]:
            if isinstance(value, torch.Tensor):
                self._add(value.untyped_storage())
        return output

    def _add(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if address in self._counted or not size:
            return
        self._counted.add(address)
        weakref.finalize(storage, self._free, address, size)
        self.alive += size
        self.peak = max(self.peak, self.alive)

    def _free(self, address: int, size: int) -> None:
        self._counted.discard(address)
        self.alive -= size


def _wait(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()
