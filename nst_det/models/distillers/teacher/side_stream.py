"""Work that a CUDA device does beside its current stream's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class SideStream:
    """A stream of a CUDA device's own for work whose results are wanted later.

    Args:
        device (torch.device): The device.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)

    @contextmanager
    def running(self, inputs: Sequence[Tensor]) -> Iterator[None]:
        """Queue the work of a ``with`` block beside what the current stream is given meanwhile.

        Args:
            inputs (Sequence[Tensor]): What it reads.
        """
        self.stream.wait_stream(torch.cuda.current_stream(self.stream.device))
        for one in inputs:
            one.record_stream(self.stream)  # not to be reused while this stream reads it
        with torch.cuda.stream(self.stream):
            yield

    def join(self, outputs: Sequence[Tensor]) -> None:
        """Have the current stream go on only when the work is done.

        Args:
            outputs (Sequence[Tensor]): What the work gave, which the current stream reads.
        """
        current = torch.cuda.current_stream(self.stream.device)
        current.wait_stream(self.stream)
        for one in outputs:
            one.record_stream(current)
